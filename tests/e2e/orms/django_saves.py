"""Saves people by Django's ORM, in the ways that its manual has; prints what became of each."""

import datetime
import decimal
import json
import os

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
                           "USER": os.environ["PGUSER"], "NAME": os.environ["PGDATABASE"],
                           "OPTIONS": {"server_side_binding": os.environ["BINDING"] == "server"}}},
    INSTALLED_APPS=[], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import DatabaseError, models  # noqa: E402


class Person(models.Model):
    email = models.CharField(max_length=80, null=True)
    name = models.TextField(null=True)
    salary = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    born = models.DateField(null=True)
    note = models.TextField(null=True)

    class Meta:
        app_label, db_table, managed = "saves", "person", False


FIELDS = ["email", "name", "salary", "born", "note"]
NEW = {"email": "new{}@example.org", "name": "New Name {}", "salary": 61000, "born": datetime.date(1991, 1, 1), "note": "new"}


def people(new: bool) -> list[Person]:
    found = list(Person.objects.filter(id__in=[1, 2]).order_by("id"))
    for person in found:
        person.note = "after"
        for field, value in NEW.items() if new else ():
            value = value.format(person.id) if isinstance(value, str) else value
            setattr(person, field, decimal.Decimal(value) if field == "salary" else value)
    return found


def save(new: bool) -> None:
    for person in people(new):
        person.save()


def bulk_update(new: bool) -> None:
    Person.objects.bulk_update(people(new), FIELDS)


def upsert(new: bool) -> None:
    Person.objects.bulk_create(people(new), update_conflicts=True, unique_fields=["id"], update_fields=FIELDS)


def update_or_create(new: bool) -> None:
    for person in people(new):
        Person.objects.update_or_create(id=person.id, defaults={field: getattr(person, field) for field in FIELDS})


def insert(new: bool) -> None:
    Person.objects.bulk_create([Person(**{field: getattr(person, field) for field in FIELDS}) for person in people(new)])


DEEDS = {deed.__name__: deed for deed in (save, bulk_update, upsert, update_or_create, insert)}
try:
    DEEDS[os.environ["DEED"]](os.environ["VALUES"] == "new")
    print(json.dumps("done"))
except DatabaseError as error:
    print(json.dumps(str(error)))
