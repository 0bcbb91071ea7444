"""Django as an application of its own would use it: inspectdb, migrations, the ORM, and pages of the admin."""

import os

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
                           "USER": os.environ["PGUSER"], "NAME": os.environ["PGDATABASE"]}},
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__, SECRET_KEY="for tests", USE_TZ=True, ALLOWED_HOSTS=["*"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import Group, Permission, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402

urlpatterns = [path("admin/", admin.site.urls)]


def use_the_orm() -> None:
    boss = User.objects.create_superuser("boss", "boss@nowhere.test", "secret")
    User.objects.bulk_create([User(username=f"user{n}", email=f"user{n}@nowhere.test", first_name="U", last_name=str(n)) for n in range(30)])
    group, _ = Group.objects.get_or_create(name="editors")
    group.permissions.set(Permission.objects.filter(codename__startswith="add_"))
    boss.groups.add(group)
    list(User.objects.filter(models.Q(username__icontains="user1") | models.Q(email__endswith="5@nowhere.test")).exclude(is_staff=True).order_by("-username")[5:10])
    list(User.objects.annotate(n=models.Count("groups")).filter(n__gte=0).values("username", "n").order_by("n", "username"))
    list(Permission.objects.select_related("content_type").order_by("content_type__app_label", "codename"))
    list(Group.objects.prefetch_related("permissions"))
    User.objects.filter(username__in=["user1", "user2"]).update(first_name=models.F("last_name"))
    User.objects.update_or_create(username="user3", defaults={"email": "other@nowhere.test"})
    User.objects.aggregate(models.Max("date_joined"), models.Count("id"), models.Avg("id"))
    list(User.objects.filter(pk=models.Subquery(User.objects.order_by("pk").values("pk")[:1])).distinct())
    list(User.objects.annotate(later=models.Window(models.functions.RowNumber(), order_by=models.F("id").asc()))[:3])
    list(User.objects.dates("date_joined", "month"))
    User.objects.filter(pk__gt=0).exists(), User.objects.filter(username__regex="^u.*9$").count()
    list(User.objects.filter(id__lt=5).union(User.objects.filter(id__gt=25)))
    with transaction.atomic():
        User.objects.select_for_update().get(username="user4").save()
        try:
            with transaction.atomic():
                User.objects.create(username="user4")
        except django.db.IntegrityError:
            pass
    list(User.objects.iterator(chunk_size=10))
    User.objects.filter(username="user29").delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, total FROM (SELECT a.name, count(*) AS total FROM artist a JOIN album USING (artist_id) GROUP BY a.name) s ORDER BY 2 DESC, 1 LIMIT %s", [5])


def use_the_admin() -> None:
    browser = Client()
    assert browser.post("/admin/login/?next=/admin/", {"username": "boss", "password": "secret"}).status_code == 302
    someone = User.objects.get(username="user5").pk
    for page in ("", "auth/user/", "auth/user/?q=user1&is_staff__exact=0&o=1.-2", "auth/user/?p=1", f"auth/user/{someone}/change/", "auth/group/",
                 "auth/group/add/", f"auth/user/{someone}/history/", f"auth/user/{someone}/delete/", "auth/user/add/"):
        answer = browser.get(f"/admin/{page}")
        assert answer.status_code == 200, (page, answer.status_code)
    added = browser.post("/admin/auth/group/add/", {"name": "readers", "permissions": ["1", "2"]})
    assert added.status_code == 302, added.content[:500]


call_command("inspectdb", verbosity=0, stdout=open(os.devnull, "w"))
call_command("migrate", verbosity=0)
use_the_orm()
use_the_admin()
call_command("migrate", "sessions", "zero", verbosity=0)
