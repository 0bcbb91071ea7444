"""Django's database layer over psycopg 3: cursors, atomic blocks, iterators on the server, introspection, inspectdb, and a model."""

import io
import json
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction

from runner import main, plain, table, with_marks

JOB = json.loads(sys.stdin.read())
sys.stdin = io.StringIO(json.dumps(JOB))
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": JOB["login"]["host"], "PORT": JOB["login"]["port"], "USER": JOB["login"]["user"],
                                          "NAME": JOB["login"]["dbname"], "OPTIONS": {"application_name": "drivers", "sslmode": "disable"}}},
                   INSTALLED_APPS=[], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()


class Person(models.Model):
    id = models.IntegerField(primary_key=True)
    name = models.TextField()
    email = models.TextField()
    phone = models.TextField()
    note = models.TextField()
    city = models.TextField()

    class Meta:
        managed = False
        app_label = "drivers"
        db_table = 'shop"."person'


class Django:
    def __init__(self, _):
        connection.ensure_connection()

    def close(self):
        connection.close()

    def aside(self):
        return {"state": connection.connection.info.transaction_status.name}

    def failure(self, error):
        if isinstance(error, DatabaseError):
            return {"class": type(error).__name__, "code": getattr(error.__cause__, "sqlstate", None), "text": str(error)}
        return {"class": type(error).__name__, "text": str(error)} if isinstance(error, (ValueError, TypeError)) else None

    def results(self, cursor):
        columns = [[one.name, one.type_code] for one in cursor.description or []]
        return table(columns, cursor.fetchall() if cursor.description is not None else [], changed=cursor.rowcount)

    def query(self, step):
        with connection.cursor() as cursor:
            cursor.execute(with_marks(step["sql"], "%s"), step["params"])
            return self.results(cursor)

    def simple(self, step):
        with connection.cursor() as cursor:
            cursor.execute(step["sql"])
            return self.results(cursor)

    def batch(self, step):
        with connection.cursor() as cursor:
            cursor.executemany(with_marks(step["sql"], "%s"), step["runs"])
            return cursor.rowcount

    def fetch(self, step):
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.itersize = step["size"]
            cursor.execute(with_marks(step["sql"], "%s"), step["params"])
            return table([], list(cursor))

    def transaction(self, step):
        answers = []
        with transaction.atomic():
            if step["level"]:
                self.simple({"sql": f"SET TRANSACTION ISOLATION LEVEL {step['level']}"})
            answers = [self.simple({"sql": sql}) for sql in step["statements"]]
            if step["end"] == "rollback":
                transaction.set_rollback(True)
        return answers

    def meta(self, step):
        introspection, what = connection.introspection, step["what"]
        name = step["arguments"][1] if len(step["arguments"]) > 1 else None
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = shop")
            try:
                if what == "tables":
                    out = io.StringIO()
                    call_command("inspectdb", stdout=out)
                    return [sorted(plain([one.name, one.type]) for one in introspection.get_table_list(cursor)), out.getvalue()]
                if what == "columns":
                    return [plain(introspection.get_table_description(cursor, name)), plain(introspection.get_sequences(cursor, name))]
                if what in ("primary key", "foreign keys", "indexes"):
                    return plain([introspection.get_constraints(cursor, name), introspection.get_relations(cursor, name), introspection.get_primary_key_columns(cursor, name)])
                if what == "types":
                    people = Person.objects.order_by("id")
                    return plain([list(people.values()), [one.email for one in people.iterator(chunk_size=2)], people.filter(city="Wien").count(), list(people.in_bulk([2]).values())[0].name])
                return plain([connection.pg_version, connection.features.has_select_for_update])
            finally:
                cursor.execute("RESET search_path")


if __name__ == "__main__":
    main(Django)
