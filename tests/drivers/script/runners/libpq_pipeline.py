"""libpq by its own calls, everything in pipeline mode: several statements in flight, with a Sync after each group."""

import os
import select
import threading

os.environ["PSYCOPG_IMPL"] = "binary"

from psycopg import pq

from runner import main, short, table

FIELDS = [field for field in pq.DiagnosticField if field.name not in ("SOURCE_FILE", "SOURCE_LINE", "SOURCE_FUNCTION")]


def diagnosis(result) -> dict:
    return {field.name: value.decode() for field in FIELDS if (value := result.error_field(field))}


class Failed(Exception):
    pass


class Libpq:
    def __init__(self, login):
        text = " ".join(f"{key}={value}" for key, value in login.items()) + " application_name=drivers sslmode=disable client_encoding=UTF8"
        self.connection = pq.PGconn.connect(text.encode())
        if self.connection.status != pq.ConnStatus.OK:
            raise RuntimeError(self.connection.error_message)
        self.notices = []
        self.connection.notice_handler = lambda result: self.notices.append(diagnosis(result))

    def close(self):
        self.connection.finish()

    def aside(self):
        notices, self.notices = self.notices, []
        return {"notices": notices, "state": pq.TransactionStatus(self.connection.transaction_status).name}

    def failure(self, error):
        if isinstance(error, Failed):
            return error.args[0]
        return {"text": str(error)} if type(error).__name__ == "OperationalError" else None

    def one(self, result):
        status = pq.ExecStatus(result.status).name
        if result.status in (pq.ExecStatus.FATAL_ERROR,):
            return {"status": status, "code": (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode(), **diagnosis(result)}
        columns = [[result.fname(at).decode(), result.ftype(at), result.fformat(at), result.fmod(at), result.fsize(at), result.ftablecol(at)] for at in range(result.nfields)]
        rows = [[result.get_value(row, at) if result.fformat(at) else (result.get_value(row, at) or b"\\N").decode() for at in range(result.nfields)] for row in range(result.ntuples)]
        return table(columns, rows, status=status, tag=(result.command_status or b"").decode(), changed=result.command_tuples)

    def next_result(self):
        """Waits where other threads can run meanwhile."""
        self.connection.flush()
        while self.connection.is_busy():
            select.select([self.connection.socket], [], [])
            self.connection.consume_input()
        return self.connection.get_result()

    def until_sync(self):
        """All results up to the next one of a Sync."""
        answers, silent = [], 0
        while silent < 2:
            result = self.next_result()
            if result is None:
                silent += 1
                continue
            silent = 0
            answers.append(self.one(result))
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return answers
        raise RuntimeError(f"no end of the pipeline: {answers}")

    def piped(self, *send):
        self.connection.enter_pipeline_mode()
        try:
            for one in send:
                one()
            self.connection.pipeline_sync()
            answers = self.until_sync()
        finally:
            while self.connection.get_result() is not None:
                pass
            self.connection.exit_pipeline_mode()
        failed = [one for one in answers if one.get("status") == "FATAL_ERROR"]
        if failed:
            raise Failed({**failed[0], "all": answers})
        return answers

    def params(self, sql, params, binary=0):
        return lambda: self.connection.send_query_params(sql.encode(), [None if one is None else one.encode() for one in params], result_format=binary)

    def query(self, step):
        if step["sql"].startswith("SELECT"):
            return self.piped(self.params("SELECT 'before'", []), self.params(step["sql"], step["params"]), self.params(step["sql"], step["params"], 1), self.params("SELECT 'behind'", []))
        return self.piped(self.params(step["sql"], step["params"]))

    def simple(self, step):
        result = self.connection.exec_(step["sql"].encode())
        answer = self.one(result)
        if answer.get("status") == "FATAL_ERROR":
            raise Failed(answer)
        return answer

    def prepared(self, step):
        sends = [lambda: self.connection.send_prepare(b"named", step["sql"].encode()), lambda: self.connection.send_describe_prepared(b"named")]
        for number, params in enumerate(step["runs"]):
            values = [None if one is None else one.encode() for one in params]
            sends.append(lambda values=values, number=number: self.connection.send_query_prepared(b"named", values, result_format=number % 2))
        try:
            return self.piped(*sends)
        finally:
            self.connection.exec_(b"DEALLOCATE named")
            self.notices.clear()

    def batch(self, step):
        return self.piped(*[self.params(step["sql"], params) for params in step["runs"]])

    def fetch(self, step):
        """Row by row, in a pipeline."""
        self.connection.enter_pipeline_mode()
        rows, statuses, failed = 0, {}, None
        try:
            self.params(step["sql"], step["params"])()
            self.connection.pipeline_sync()
            self.connection.set_single_row_mode()
            silent = 0
            while silent < 2:
                result = self.next_result()
                if result is None:
                    silent += 1
                    continue
                silent = 0
                name = pq.ExecStatus(result.status).name
                statuses[name] = statuses.get(name, 0) + 1
                rows += result.ntuples
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    failed = self.one(result)
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    break
        finally:
            while self.connection.get_result() is not None:
                pass
            self.connection.exit_pipeline_mode()
        if failed:
            raise Failed({**failed, "rows": rows, "statuses": statuses})
        return {"rows": rows, "statuses": statuses}

    def copy_out(self, step):
        result = self.connection.exec_(step["sql"].encode())
        if result.status != pq.ExecStatus.COPY_OUT:
            raise Failed(self.one(result))
        data, head = b"", [result.nfields, [result.fformat(at) for at in range(result.nfields)]]
        while True:
            size, part = self.connection.get_copy_data(0)
            if size == -1:
                break
            data += bytes(part)
        answer = self.one(self.connection.get_result())
        while self.connection.get_result() is not None:
            pass
        if answer.get("status") == "FATAL_ERROR":
            raise Failed({**answer, "before": short(repr(data))})
        return [head, short(repr(data)), answer]

    def copy_in(self, step):
        result = self.connection.exec_(step["sql"].encode())
        if result.status != pq.ExecStatus.COPY_IN:
            raise Failed(self.one(result))
        self.connection.put_copy_data(step["data"].encode())
        self.connection.put_copy_end(b"given up" if step["fail"] else None)
        answer = self.one(self.connection.get_result())
        while self.connection.get_result() is not None:
            pass
        if answer.get("status") == "FATAL_ERROR":
            raise Failed(answer)
        return answer

    def listen(self, step):
        channel = b'"' + step["channel"].encode() + b'"'
        self.connection.exec_(b"LISTEN " + channel)
        self.piped(self.params("SELECT pg_notify($1::text, $2::text)", [step["channel"], step["payload"]]))
        self.connection.consume_input()
        got = self.connection.notifies()
        self.connection.exec_(b"UNLISTEN " + channel)
        return got and [got.relname.decode(), got.extra.decode(), got.be_pid == self.connection.backend_pid]

    def cancel(self, step):
        timer = threading.Timer(0.3, self.connection.get_cancel().cancel)
        timer.start()
        try:
            return self.piped(self.params(step["sql"], []))
        finally:
            timer.join()

    def transaction(self, step):
        level = f" ISOLATION LEVEL {step['level']}" if step["level"] else ""
        return self.piped(*[self.params(sql, []) for sql in ["BEGIN" + level, *step["statements"], step["end"].upper()]])


if __name__ == "__main__":
    main(Libpq)
