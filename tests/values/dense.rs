//! Where many values have to be seen: the digits of floating-point numbers, and the clocks of all time zones.

use bytes::BytesMut;
use pgveil::catalog::Oid;
use pgveil::value::{PlainType, TextForms, read, write};
use pgveil::wire::Format;

use super::literals::Random;
use super::server::Server;

fn text(plain_type: &PlainType, plaintext: &[u8], forms: &TextForms) -> Option<String> {
    let mut out = BytesMut::new();
    write(plain_type, plaintext, Format::Text, forms, &mut out).ok()?;
    String::from_utf8(out.to_vec()).ok()
}

/// Numbers of random bits, of few digits, and around powers of two.
fn doubles() -> Vec<f64> {
    let mut random = Random(7);
    let mut numbers: Vec<f64> = (0..20_000).map(|_| f64::from_bits(random.bits())).collect();
    for power in -1074..1024 {
        let bits = 2_f64.powi(power).to_bits();
        numbers.extend([bits.wrapping_sub(1), bits, bits + 1, bits + (bits >> 60)].map(f64::from_bits));
    }
    numbers.extend((0..5_000).map(|_| random.below(100_000) as f64 * 10_f64.powi(random.below(60) as i32 - 30)));
    numbers.extend((0..5_000).map(|_| random.below(1 << 30) as f64 / (1_u64 << random.below(50)) as f64));
    numbers
}

#[test]
fn numbers_have_the_digits_that_the_server_writes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let mut failed = Vec::new();
    let mut compared = 0;
    runtime.block_on(async {
        let client = server.client().await;
        let doubles = doubles();
        let singles: Vec<f32> = doubles.iter().map(|number| f32::from_bits((number.to_bits() >> 32) as u32)).collect();
        for digits in ["1", "0", "-5"] {
            client.batch_execute(&format!("SET extra_float_digits TO {digits}")).await.unwrap();
            let mut forms = TextForms::default();
            forms.set("extra_float_digits", digits.as_bytes());
            let float8 = PlainType::parse("float8").unwrap();
            let float4 = PlainType::parse("float4").unwrap();
            let query = "SELECT x::text FROM unnest($1::float8[]) WITH ORDINALITY AS u (x, n) ORDER BY n";
            for (number, row) in doubles.iter().zip(client.query(query, &[&doubles]).await.unwrap()) {
                let theirs: String = row.get(0);
                let ours = text(&float8, &number.to_be_bytes(), &forms);
                compared += 1;
                if ours.as_deref() != Some(&theirs) {
                    failed.push(format!("{number:?}: {theirs}, ours {ours:?}"));
                }
            }
            let query = "SELECT x::text FROM unnest($1::float4[]) WITH ORDINALITY AS u (x, n) ORDER BY n";
            for (number, row) in singles.iter().zip(client.query(query, &[&singles]).await.unwrap()) {
                let theirs: String = row.get(0);
                let ours = text(&float4, &number.to_be_bytes(), &forms);
                compared += 1;
                if ours.as_deref() != Some(&theirs) {
                    failed.push(format!("{number:?}f32: {theirs}, ours {ours:?}"));
                }
            }
        }
    });
    println!("{compared} numbers, {} differences", failed.len());
    assert!(failed.is_empty(), "{}", failed[..failed.len().min(25)].join("\n"));
}

const SECONDS_PER_YEAR: i64 = 31_556_952;

#[test]
fn clocks_of_all_zones_show_what_the_server_shows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let (mut compared, mut unknown) = (0, 0);
    let (mut failed, mut changed) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let client = server.client().await;
        let plain_type = PlainType::parse("timestamptz").unwrap();
        let mut random = Random(11);
        // Microseconds from 2000-01-01, of the years 1800 to 2500 and some far ones.
        let mut moments: Vec<i64> = (0..150)
            .map(|_| (random.below(700 * SECONDS_PER_YEAR as usize) as i64 - 200 * SECONDS_PER_YEAR) * 1_000_000)
            .collect();
        moments.extend((0..150).map(|_| random.below(60 * SECONDS_PER_YEAR as usize) as i64 * 1_000_000));
        moments.extend([100_000, 150_000, 290_000].map(|year| year * SECONDS_PER_YEAR * 1_000_000 + 5_000_000));
        let utc = TextForms::default();
        let written: Vec<String> =
            moments.iter().filter_map(|moment| text(&plain_type, &moment.to_be_bytes(), &utc)).collect();
        let zones = client.query("SELECT name FROM pg_timezone_names ORDER BY name", &[]).await.unwrap();
        for zone in zones {
            let zone: String = zone.get(0);
            client.execute("SELECT set_config('TimeZone', $1, false)", &[&zone]).await.unwrap();
            let mut forms = TextForms::default();
            forms.set("TimeZone", zone.as_bytes());
            // As shown, and read again from the local time alone.
            let query = "SELECT x::timestamptz::text, x::timestamptz::timestamp::text,
                    (x::timestamptz::timestamp::timestamptz AT TIME ZONE 'UTC')::text
                FROM unnest($1::text[]) WITH ORDINALITY AS u (x, n) ORDER BY n";
            for (moment, row) in moments.iter().zip(client.query(query, &[&written]).await.unwrap()) {
                let (shown, local, again): (String, String, String) = (row.get(0), row.get(1), row.get(2));
                let Some(ours) = text(&plain_type, &moment.to_be_bytes(), &forms) else {
                    unknown += 1;
                    continue;
                };
                let Ok(read) = read(&plain_type, Oid(0), Format::Text, local.as_bytes(), &forms) else {
                    unknown += 1;
                    continue;
                };
                let read = text(&plain_type, &read, &utc).unwrap().replace("+00", "");
                compared += 1;
                // Laws change: the server's database may be older or newer.
                let settled = *moment < 24 * SECONDS_PER_YEAR * 1_000_000;
                if ours != shown || read != again {
                    let difference = format!("{zone}: {shown}, ours {ours}; {local} is {again}, ours {read}");
                    if settled { &mut failed } else { &mut changed }.push(difference);
                }
            }
        }
    });
    println!(
        "{compared} moments, {unknown} in zones that pgveil does not know, {} differences, {} after 2023",
        failed.len(),
        changed.len()
    );
    assert!(failed.is_empty(), "{}", failed[..failed.len().min(25)].join("\n"));
}
