import java.lang.reflect.Method;
import java.sql.*;
import java.util.Properties;

/** Everything that JDBC's DatabaseMetaData answers, as database browsers ask it, then queries in the driver's ways. */
public class Metadata {
    static void read(Object answer) throws SQLException {
        if (answer instanceof ResultSet rows) {
            while (rows.next()) rows.getObject(1);
            rows.close();
        }
    }

    public static void main(String[] given) throws Exception {
        Properties login = new Properties();
        login.setProperty("user", System.getenv("PGUSER"));
        String place = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(place + "?sslmode=disable", login)) {
            DatabaseMetaData about = connection.getMetaData();
            for (Method method : DatabaseMetaData.class.getMethods()) {
                if (method.getParameterCount() == 0) {
                    try { read(method.invoke(about)); } catch (ReflectiveOperationException unsupported) { }
                }
            }
            read(about.getTables(null, "public", "%", new String[] {"TABLE", "VIEW", "INDEX", "SEQUENCE"}));
            read(about.getTables(null, null, "%", null));
            read(about.getColumns(null, "public", "%", "%"));
            read(about.getColumns(null, null, "customer", "%"));
            for (String table : new String[] {"artist", "track", "customer"}) {
                read(about.getPrimaryKeys(null, "public", table));
                read(about.getImportedKeys(null, "public", table));
                read(about.getExportedKeys(null, "public", table));
                read(about.getIndexInfo(null, "public", table, false, true));
                read(about.getBestRowIdentifier(null, "public", table, DatabaseMetaData.bestRowSession, true));
                read(about.getVersionColumns(null, "public", table));
                read(about.getTablePrivileges(null, "public", table));
                read(about.getColumnPrivileges(null, "public", table, "%"));
            }
            read(about.getCrossReference(null, "public", "artist", null, "public", "album"));
            read(about.getProcedures(null, null, "%"));
            read(about.getFunctions(null, "public", "%"));
            read(about.getFunctionColumns(null, "pg_catalog", "to_char", "%"));
            read(about.getUDTs(null, null, "%", null));
            connection.setAutoCommit(false);
            try (PreparedStatement query = connection.prepareStatement("SELECT track_id, name, unit_price FROM track WHERE track_id > ? ORDER BY 1")) {
                query.setFetchSize(50);
                for (int again = 0; again < 7; again++) {
                    query.setInt(1, 3300 + again);
                    ResultSet rows = query.executeQuery();
                    rows.getMetaData().getTableName(1);
                    rows.getMetaData().isAutoIncrement(1);
                    rows.getMetaData().isNullable(2);
                    while (rows.next()) rows.getBigDecimal(3);
                }
            }
            Savepoint point = connection.setSavepoint("here");
            try (Statement bad = connection.createStatement()) { bad.execute("SELECT no_such FROM artist"); } catch (SQLException expected) { connection.rollback(point); }
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO artist (name) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int n = 0; n < 20; n++) { insert.setString(1, "artist " + n); insert.addBatch(); }
                insert.executeBatch();
                read(insert.getGeneratedKeys());
            }
            try (Statement change = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
                ResultSet rows = change.executeQuery("SELECT artist_id, name FROM artist WHERE artist_id = 1");
                rows.next();
                rows.updateString(2, "renamed");
                rows.updateRow();
            }
            connection.rollback();
        }
    }
}
