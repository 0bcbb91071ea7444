//! What sqlx's own tests for PostgreSQL take from a package that is not published: connections to DATABASE_URL, and tests of types.

use sqlx::{Connection, Database, Pool};

/// The tests read the environment themselves.
pub fn setup_if_needed() {}

fn url() -> anyhow::Result<String> {
    Ok(std::env::var("DATABASE_URL")?)
}

/// A connection.
pub async fn new<DB: Database>() -> anyhow::Result<DB::Connection> {
    Ok(DB::Connection::connect(&url()?).await?)
}

/// A pool of connections.
pub async fn pool<DB: Database>() -> anyhow::Result<Pool<DB>> {
    Ok(sqlx::pool::PoolOptions::new().connect(&url()?).await?)
}

/// A value is read as what its text says, sent and compared by the server, and comes back: prepared and not. The query may
/// be given, where the type has no equality.
#[macro_export]
macro_rules! test_type {
    ($name:ident<$ty:ty>($db:ident, $query:literal, $($text:literal == $value:expr),+ $(,)?)) => {
        $crate::test_prepared_type!($name<$ty>($db, $query, $($text == $value),+));
        $crate::test_unprepared_type!($name<$ty>($db, $($text == $value),+));
    };
    ($name:ident<$ty:ty>($db:ident, $($text:literal == $value:expr),+ $(,)?)) => {
        $crate::test_prepared_type!($name<$ty>($db, $($text == $value),+));
        $crate::test_unprepared_type!($name<$ty>($db, $($text == $value),+));
    };
    ($name:ident($db:ident, $($text:literal == $value:expr),+ $(,)?)) => {
        $crate::test_type!($name<$name>($db, $($text == $value),+));
    };
}

/// As [`test_type`], prepared alone.
#[macro_export]
macro_rules! test_prepared_type {
    ($name:ident<$ty:ty>($db:ident, $($text:literal == $value:expr),+ $(,)?)) => {
        $crate::test_prepared_type!(
            $name<$ty>($db, "SELECT ({0} IS NOT DISTINCT FROM $1)::int4, {0}, $2", $($text == $value),+)
        );
    };
    ($name:ident<$ty:ty>($db:ident, $query:literal, $($text:literal == $value:expr),+ $(,)?)) => {
        paste::item! {
            #[sqlx_macros::test]
            async fn [< test_prepared_type_ $name >]() -> anyhow::Result<()> {
                use sqlx::Row;
                let mut connection = sqlx_test::new::<$db>().await?;
                $(
                    let text = format!($query, $text);
                    let row = sqlx::query(&text).bind($value).bind($value).fetch_one(&mut connection).await?;
                    let equal: i32 = row.try_get(0)?;
                    let read: $ty = row.try_get(1)?;
                    let back: $ty = row.try_get(2)?;
                    assert_eq!(equal, 1, "{}", $text);
                    assert_eq!($value, read, "{}", $text);
                    assert_eq!($value, back, "{}", $text);
                )+
                Ok(())
            }
        }
    };
    ($name:ident($db:ident, $($text:literal == $value:expr),+ $(,)?)) => {
        $crate::test_prepared_type!($name<$name>($db, $($text == $value),+));
    };
}

/// A value is read as what its text says, from a simple query.
#[macro_export]
macro_rules! test_unprepared_type {
    ($name:ident<$ty:ty>($db:ident, $($text:literal == $value:expr),+ $(,)?)) => {
        paste::item! {
            #[sqlx_macros::test]
            async fn [< test_unprepared_type_ $name >]() -> anyhow::Result<()> {
                use sqlx::prelude::*;
                let mut connection = sqlx_test::new::<$db>().await?;
                $(
                    let text = format!("SELECT {}", $text);
                    let row = connection.fetch_one(&*text).await?;
                    let read: $ty = row.try_get(0)?;
                    assert_eq!($value, read, "{}", $text);
                )+
                Ok(())
            }
        }
    };
}

/// A value is read as what its text says, from a prepared statement.
#[macro_export]
macro_rules! test_decode_type {
    ($name:ident<$ty:ty>($db:ident, $($text:literal == $value:expr),+ $(,)?)) => {
        paste::item! {
            #[sqlx_macros::test]
            async fn [< test_decode_type_ $name >]() -> anyhow::Result<()> {
                use sqlx::Row;
                let mut connection = sqlx_test::new::<$db>().await?;
                $(
                    let text = format!("SELECT {}", $text);
                    let row = sqlx::query(&text).fetch_one(&mut connection).await?;
                    let read: $ty = row.try_get(0)?;
                    assert_eq!($value, read, "{}", $text);
                )+
                Ok(())
            }
        }
    };
    ($name:ident($db:ident, $($text:literal == $value:expr),+ $(,)?)) => {
        $crate::test_decode_type!($name<$name>($db, $($text == $value),+));
    };
}
