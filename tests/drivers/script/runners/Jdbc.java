import java.io.*;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.util.*;
import java.util.regex.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.*;
import org.postgresql.util.*;

/** PostgreSQL's JDBC driver: see runner.py for what a runner does. Statements are named and read in binary after two runs. */
public class Jdbc {
    static Connection db;
    static PGConnection pg;
    static String place, user;
    static final List<Object> notices = new ArrayList<>();

    static class Unsupported extends Exception { Unsupported(String what) { super(what); } }

    public static void main(String[] given) throws Exception {
        Map<String, Object> job = map(new Json(new String(System.in.readAllBytes(), StandardCharsets.UTF_8)).value());
        Map<String, Object> login = map(job.get("login"));
        place = "jdbc:postgresql://" + login.get("host") + ":" + login.get("port") + "/" + login.get("dbname")
            + "?sslmode=disable&gssEncMode=disable&ApplicationName=drivers&prepareThreshold=2";
        user = (String) login.get("user");
        connect();
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
        for (Object each : list(job.get("checks"))) {
            Map<String, Object> check = map(each), line = new LinkedHashMap<>();
            List<Object> outcomes = new ArrayList<>();
            for (Object step : list(check.get("steps"))) outcomes.add(outcome(map(step)));
            line.put("name", check.get("name"));
            line.put("outcomes", outcomes);
            out.println(Json.text(line));
        }
        out.flush();
        db.close();
    }

    static void connect() throws SQLException {
        db = DriverManager.getConnection(place, user, "");
        pg = db.unwrap(PGConnection.class);
    }

    static Object outcome(Map<String, Object> step) throws Exception {
        Map<String, Object> outcome = new LinkedHashMap<>();
        try {
            outcome.put("got", run(step));
        } catch (Unsupported reason) {
            outcome.put("unsupported", reason.getMessage());
            return outcome;
        } catch (SQLException error) {
            outcome.put("error", said(error));
        }
        // As when DateStyle is no longer one that the driver understands.
        if (db.isClosed()) connect();
        for (SQLWarning warning = db.getWarnings(); warning != null; warning = warning.getNextWarning()) notices.add(said(warning));
        db.clearWarnings();
        outcome.put("notices", new ArrayList<>(notices));
        notices.clear();
        return outcome;
    }

    static Object said(SQLException error) {
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("class", error.getClass().getSimpleName());
        said.put("code", error.getSQLState());
        said.put("text", error.getMessage());
        ServerErrorMessage message = error instanceof PSQLException one ? one.getServerErrorMessage() : error instanceof PSQLWarning two ? two.getServerErrorMessage() : null;
        if (message != null) {
            said.put("fields", Arrays.asList(message.getSeverity(), message.getDetail(), message.getHint(), message.getPosition(), message.getWhere(), message.getSchema(),
                message.getTable(), message.getColumn(), message.getDatatype(), message.getConstraint()));
        }
        if (error.getNextException() != null) said.put("next", said(error.getNextException()));
        return said;
    }

    static String marked(String sql) { return sql.replaceAll("\\$\\d+", "?"); }

    static void bind(PreparedStatement statement, List<Object> values) throws SQLException {
        for (int at = 0; at < values.size(); at++) {
            if (values.get(at) == null) statement.setNull(at + 1, Types.OTHER); else statement.setObject(at + 1, values.get(at), Types.OTHER);
        }
    }

    static Object plain(Object value) throws SQLException {
        if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) return value;
        if (value instanceof byte[] raw) return "bytes " + (raw.length <= 2000 ? HexFormat.of().formatHex(raw) : "of " + raw.length);
        if (value instanceof java.sql.Array array) return Arrays.asList("array", array.getBaseTypeName(), array.toString());
        if (value instanceof SQLXML xml) return "xml " + xml.getString();
        String text = value.toString();
        if (text.length() > 4000) text = text.substring(0, 2000) + "... of " + text.length();
        return value instanceof String ? text : value.getClass().getSimpleName() + " " + text;
    }

    static Object table(ResultSet rows) throws SQLException {
        ResultSetMetaData about = rows.getMetaData();
        List<Object> columns = new ArrayList<>(), read = new ArrayList<>();
        for (int at = 1; at <= about.getColumnCount(); at++) {
            columns.add(Arrays.asList(about.getColumnLabel(at), about.getColumnTypeName(at), about.getColumnType(at), about.getPrecision(at), about.getScale(at),
                about.getColumnDisplaySize(at), about.isNullable(at), about.getTableName(at), about.isAutoIncrement(at)));
        }
        int count = 0;
        while (rows.next()) {
            List<Object> row = new ArrayList<>();
            for (int at = 1; at <= about.getColumnCount(); at++) row.add(plain(rows.getObject(at)));
            if (count++ < 60) read.add(row);
        }
        rows.close();
        return Arrays.asList(columns, count, read);
    }

    static List<Object> results(Statement statement, boolean rows) throws SQLException {
        List<Object> answers = new ArrayList<>();
        while (true) {
            if (rows) answers.add(table(statement.getResultSet()));
            else if (statement.getUpdateCount() == -1) break;
            else answers.add(statement.getUpdateCount());
            rows = statement.getMoreResults();
        }
        for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) notices.add(said(warning));
        return answers;
    }

    static Object run(Map<String, Object> step) throws Exception {
        String sql = (String) step.get("sql");
        switch ((String) step.get("do")) {
            case "query": {
                List<Object> answers = new ArrayList<>();
                try (PreparedStatement statement = db.prepareStatement(marked(sql))) {
                    bind(statement, list(step.get("params")));
                    // The third time in binary, by a named statement.
                    for (int times = sql.startsWith("SELECT $") ? 3 : 1; times > 0; times--) answers.addAll(results(statement, statement.execute()));
                }
                return answers;
            }
            case "simple":
                try (Statement statement = db.createStatement()) { return results(statement, statement.execute(sql)); }
            case "prepared": {
                List<Object> answers = new ArrayList<>();
                try (PreparedStatement statement = db.prepareStatement(marked(sql))) {
                    for (Object values : list(step.get("runs"))) {
                        bind(statement, list(values));
                        answers.addAll(results(statement, statement.execute()));
                    }
                    if (statement.getParameterMetaData().getParameterCount() > 0) answers.add(statement.getParameterMetaData().getParameterTypeName(1));
                }
                return answers;
            }
            case "batch":
                try (PreparedStatement statement = db.prepareStatement(marked(sql), Statement.RETURN_GENERATED_KEYS)) {
                    for (Object values : list(step.get("runs"))) { bind(statement, list(values)); statement.addBatch(); }
                    String counts = Arrays.toString(statement.executeBatch());
                    return Arrays.asList(counts, table(statement.getGeneratedKeys()));
                }
            case "fetch": {
                db.setAutoCommit(false);
                try (PreparedStatement statement = db.prepareStatement(marked(sql))) {
                    statement.setFetchSize(((Long) step.get("size")).intValue());
                    bind(statement, list(step.get("params")));
                    return table(statement.executeQuery());
                } finally {
                    db.rollback();
                    db.setAutoCommit(true);
                }
            }
            case "copy_out": {
                ByteArrayOutputStream all = new ByteArrayOutputStream();
                long rows = pg.getCopyAPI().copyOut(sql, all);
                return Arrays.asList(rows, plain(sql.contains("binary") ? all.toByteArray() : all.toString(StandardCharsets.UTF_8)));
            }
            case "copy_in": {
                CopyIn copying = pg.getCopyAPI().copyIn(sql);
                byte[] data = ((String) step.get("data")).getBytes(StandardCharsets.UTF_8);
                copying.writeToCopy(data, 0, data.length);
                if ((Boolean) step.get("fail")) {
                    copying.cancelCopy();
                    throw new PSQLException("given up", PSQLState.QUERY_CANCELED);
                }
                return copying.endCopy();
            }
            case "listen": {
                String channel = "\"" + step.get("channel") + "\"";
                try (Statement statement = db.createStatement(); PreparedStatement notify = db.prepareStatement("SELECT pg_notify(?, ?)")) {
                    statement.execute("LISTEN " + channel);
                    notify.setString(1, (String) step.get("channel"));
                    notify.setString(2, (String) step.get("payload"));
                    notify.execute();
                    List<Object> got = new ArrayList<>();
                    for (PGNotification one : pg.getNotifications(5000)) got.add(Arrays.asList(one.getName(), one.getParameter(), one.getPID() == pg.getBackendPID()));
                    statement.execute("UNLISTEN " + channel);
                    return got;
                }
            }
            case "cancel":
                try (Statement statement = db.createStatement()) {
                    Thread later = new Thread(() -> { try { Thread.sleep(300); statement.cancel(); } catch (Exception lost) { throw new IllegalStateException(lost); } });
                    later.start();
                    try { return results(statement, statement.execute(sql)); } finally { later.join(); }
                }
            case "transaction": {
                String level = (String) step.get("level");
                if (level != null) db.setTransactionIsolation(Map.of("read committed", 2, "repeatable read", 4, "serializable", 8).get(level));
                db.setAutoCommit(false);
                try (Statement statement = db.createStatement()) {
                    List<Object> answers = new ArrayList<>();
                    Savepoint point = db.setSavepoint("by_the_driver");
                    for (Object one : list(step.get("statements"))) answers.addAll(results(statement, statement.execute((String) one)));
                    db.releaseSavepoint(point);
                    if (step.get("end").equals("commit")) db.commit(); else db.rollback();
                    return answers;
                } finally {
                    db.rollback();
                    db.setAutoCommit(true);
                    if (level != null) db.setTransactionIsolation(2);
                }
            }
            case "meta": return meta((String) step.get("what"), list(step.get("arguments")));
            default: throw new Unsupported((String) step.get("do"));
        }
    }

    static Object meta(String what, List<Object> more) throws SQLException {
        DatabaseMetaData about = db.getMetaData();
        String schema = more.isEmpty() ? null : (String) more.get(0), name = more.size() < 2 ? null : (String) more.get(1);
        switch (what) {
            case "tables": return Arrays.asList(table(about.getTables(null, schema, "%", null)), table(about.getSchemas()), table(about.getProcedures(null, schema, "%")));
            case "columns": return Arrays.asList(table(about.getColumns(null, schema, name, "%")), table(about.getColumnPrivileges(null, schema, name, "%")));
            case "primary key": return table(about.getPrimaryKeys(null, schema, name));
            case "foreign keys": return Arrays.asList(table(about.getImportedKeys(null, schema, name)), table(about.getExportedKeys(null, schema, "thing")));
            case "indexes": return table(about.getIndexInfo(null, schema, name, false, true));
            case "types": return Arrays.asList(table(about.getTypeInfo()), table(about.getUDTs(null, "shop", "%", null)));
            default: return Arrays.asList(about.getDatabaseProductVersion(), about.getSQLKeywords(), about.getMaxColumnNameLength(), about.getDefaultTransactionIsolation(), about.getUserName());
        }
    }

    @SuppressWarnings("unchecked") static Map<String, Object> map(Object value) { return (Map<String, Object>) value; }
    @SuppressWarnings("unchecked") static List<Object> list(Object value) { return (List<Object>) value; }

    /** As much of JSON as is needed here: Debian's JDK has none. */
    static class Json {
        final String text;
        int at = 0;

        Json(String text) { this.text = text; }

        Object value() {
            space();
            char first = text.charAt(at);
            if (first == '{' || first == '[') {
                Map<String, Object> map = new LinkedHashMap<>();
                List<Object> list = new ArrayList<>();
                at++;
                for (space(); text.charAt(at) != '}' && text.charAt(at) != ']'; space()) {
                    Object one = value();
                    space();
                    if (first == '{') { at++; map.put((String) one, value()); space(); } else list.add(one);
                    if (text.charAt(at) == ',') at++;
                }
                at++;
                return first == '{' ? map : list;
            }
            if (first == '"') return string();
            Matcher word = Pattern.compile("[-+.\\w]+").matcher(text);
            word.find(at);
            at = word.end();
            return switch (word.group()) { case "null" -> null; case "true" -> true; case "false" -> false; default -> Long.valueOf(word.group()); };
        }

        String string() {
            StringBuilder made = new StringBuilder();
            for (at++; text.charAt(at) != '"'; at++) {
                if (text.charAt(at) != '\\') { made.append(text.charAt(at)); continue; }
                char kind = text.charAt(++at);
                if (kind == 'u') { made.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16)); at += 4; }
                else made.append(switch (kind) { case 'n' -> '\n'; case 't' -> '\t'; case 'r' -> '\r'; case 'b' -> '\b'; case 'f' -> '\f'; default -> kind; });
            }
            at++;
            return made.toString();
        }

        void space() { while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++; }

        static String text(Object value) {
            if (value == null || value instanceof Boolean || value instanceof Number) return String.valueOf(value);
            StringJoiner made;
            if (value instanceof Map<?, ?> map) {
                made = new StringJoiner(",", "{", "}");
                map.forEach((key, one) -> made.add(text(key) + ":" + text(one)));
                return made.toString();
            }
            if (value instanceof List<?> list) {
                made = new StringJoiner(",", "[", "]");
                list.forEach(one -> made.add(text(one)));
                return made.toString();
            }
            StringBuilder quoted = new StringBuilder("\"");
            for (char c : value.toString().toCharArray()) {
                if (c == '"' || c == '\\') quoted.append('\\').append(c);
                else if (c < 32) quoted.append(String.format("\\u%04x", (int) c));
                else quoted.append(c);
            }
            return quoted.append('"').toString();
        }
    }
}
