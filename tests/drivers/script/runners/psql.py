"""psql: what it prints, on both of its channels, with the server's errors at their most verbose."""

import os
import re
import signal
import subprocess
import time

from runner import Unsupported, main, short


class Psql:
    """One psql for the whole run, so that settings of a session last; marks in both channels end a step."""

    def __init__(self, login):
        place = {"PGHOST": login["host"], "PGPORT": str(login["port"]), "PGUSER": login["user"], "PGDATABASE": login["dbname"]}
        self.environment = {**os.environ, **place, "PGAPPNAME": "drivers", "PGSSLMODE": "disable", "PGGSSENCMODE": "disable", "PGCLIENTENCODING": "UTF8"}
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-v", "VERBOSITY=verbose", "-P", "pager=off", "-P", "null=(null)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.environment)
        self.names = 0

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)

    def aside(self):
        return {"state": self.said("\\if :{?ERROR}\n\\endif\n\\echo :SQLSTATE :ROW_COUNT :ENCODING :SERVER_VERSION_NUM")}

    def failure(self, error):
        return error.args[0] if isinstance(error, AssertionError) else None

    def said(self, script):
        self.process.stdin.write(script + "\n\\echo ====step\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) != "====step\n":
            if not line:
                raise RuntimeError(f"psql ended: {lines[-5:]}")
            lines.append(line)
        return "".join(lines)

    def run(self, script):
        text = self.said(script)
        # :ERROR says nothing of COPY.
        if found := re.search(r"^(?:psql:.*)?(?:ERROR|FATAL):  (\w{5}): ", text, re.MULTILINE):
            raise AssertionError({"code": found[1], "text": short(text)})
        return short(text)

    def literal(self, value):
        return "NULL" if value is None else "'" + value.replace("'", "''") + "'"

    def written(self, step):
        """The statement with its parameters in it, as psql writes its variables."""
        return re.sub(r"\$(\d+)(?=::)", lambda found: self.literal(step["params"][int(found[1]) - 1]), step["sql"])

    def query(self, step):
        return self.run(self.written(step) + ";")

    def simple(self, step):
        # Behind \; psql sends several statements as one message; as it prints only the last result there, they are also run one by one.
        return self.run(step["sql"].replace(";", "\\;") + ";") if "$$" not in step["sql"] and not step["sql"].startswith("--") else self.run(step["sql"] + ";")

    def prepared(self, step):
        self.names += 1
        answers = [self.run(f"PREPARE q{self.names} AS {step['sql']};")]
        for params in step["runs"]:
            values = ", ".join(self.literal(one) for one in params)
            answers.append(self.run(f"EXECUTE q{self.names}" + (f" ({values});" if params else ";")))
        return answers

    def fetch(self, step):
        self.said(f"\\set FETCH_COUNT {step['size']}")
        try:
            return self.query(step)
        finally:
            self.said("\\set FETCH_COUNT 0")

    def copy_out(self, step):
        if "binary" in step["sql"]:
            raise Unsupported("what is no text is lost in a terminal")
        return self.run(step["sql"] + ";")

    def copy_in(self, step):
        if step["fail"]:
            raise Unsupported("psql has no way to give up")
        # Where the COPY fails at once, what follows would be read as SQL.
        return self.run(step["sql"] + ";" + ("" if "no_such" in step["sql"] else "\n" + step["data"] + "\\."))

    def listen(self, step):
        return self.run(f'LISTEN "{step["channel"]}";\nSELECT pg_notify({self.literal(step["channel"])}, {self.literal(step["payload"])});\nUNLISTEN "{step["channel"]}";')

    def cancel(self, step):
        """In a psql of its own: one that reads a script ends with the cancelled statement."""
        other = subprocess.Popen(["psql", "-X", "-v", "VERBOSITY=sqlstate", "-c", step["sql"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment)
        time.sleep(0.7)
        other.send_signal(signal.SIGINT)
        said = other.communicate(timeout=30)[0]
        raise AssertionError({"code": said.split()[-1], "text": said})

    def transaction(self, step):
        level = f" ISOLATION LEVEL {step['level']}" if step["level"] else ""
        return self.run(";\n".join([f"BEGIN{level}", *step["statements"], step["end"].upper()]) + ";")

    def meta(self, step):
        name = ".".join(f'"{one}"' for one in step["arguments"])
        command = {"tables": f"\\d {name}.*", "columns": f"\\d+ {name}", "types": "\\dT+ shop.*", "server": "\\encoding"}.get(step["what"], f"\\d {name}")
        return self.said(command)


if __name__ == "__main__":
    main(Psql)
