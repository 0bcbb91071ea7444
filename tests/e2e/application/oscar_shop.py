"""A shop made of django-oscar as its documentation says, and a visit to it: `oscar_shop.py prepare` makes tables and goods, `shop` and `office`
print each page of a visit as a line of JSON. The database is where PGHOST, PGPORT, PGUSER and PGDATABASE say.
"""

import json
import os
import sys
import tempfile
from html.parser import HTMLParser

import django
from django.conf import settings
from oscar import INSTALLED_APPS
from oscar import defaults as oscar_defaults



class NoMigrations:
    """Tables as the models say, without the history of how they came to be: a tenth of the time."""

    def __contains__(self, _):
        return True

    def __getitem__(self, _):
        return None


MEDIA = tempfile.mkdtemp(prefix="oscar-media-")
settings.configure(
    **{name: getattr(oscar_defaults, name) for name in dir(oscar_defaults) if name.startswith("OSCAR_")},
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"], "USER": os.environ["PGUSER"],
                           "NAME": os.environ["PGDATABASE"], "ATOMIC_REQUESTS": True}},
    INSTALLED_APPS=[*INSTALLED_APPS, "sorl.thumbnail"], THUMBNAIL_DUMMY=True,
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware", "django.contrib.messages.middleware.MessageMiddleware",
                "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware", "oscar.apps.basket.middleware.BasketMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.debug", "django.template.context_processors.request", "django.contrib.auth.context_processors.auth", "django.template.context_processors.i18n",
        "django.template.context_processors.media", "django.template.context_processors.static", "django.contrib.messages.context_processors.messages",
        "oscar.apps.search.context_processors.search_form", "oscar.apps.checkout.context_processors.checkout", "oscar.apps.communication.notifications.context_processors.notifications",
        "oscar.core.context_processors.metadata"]}}],
    AUTHENTICATION_BACKENDS=("oscar.apps.customer.auth_backends.EmailBackend", "django.contrib.auth.backends.ModelBackend"),
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"], HAYSTACK_CONNECTIONS={"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
    EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend", ROOT_URLCONF=__name__, SECRET_KEY="for tests", SITE_ID=1, USE_TZ=True, ALLOWED_HOSTS=["*"],
    MIGRATION_MODULES=NoMigrations(), STATIC_URL="/static/", MEDIA_ROOT=MEDIA, MEDIA_URL="/media/", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", LANGUAGE_CODE="en-gb", OSCAR_INITIAL_ORDER_STATUS="Pending",
    OSCAR_ORDER_STATUS_PIPELINE={"Pending": ("Being processed",), "Being processed": ()},
)
django.setup()

from django.apps import apps  # noqa: E402
from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core import mail  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import include, path  # noqa: E402

urlpatterns = [path("i18n/", include("django.conf.urls.i18n")), path("admin/", admin.site.urls), path("", include(apps.get_app_config("oscar").urls[0]))]


def prepare() -> None:
    from decimal import Decimal

    from oscar.core.loading import get_model

    call_command("migrate", run_syncdb=True, verbosity=0)
    model = get_model
    model("address", "Country").objects.create(iso_3166_1_a2="AT", iso_3166_1_a3="AUT", iso_3166_1_numeric="040", printable_name="Austria", name="Republic of Austria", is_shipping_country=True)
    kind = model("catalogue", "ProductClass").objects.create(name="Book", requires_shipping=True, track_stock=True)
    partner = model("partner", "Partner").objects.create(name="Warehouse")
    shelf = model("catalogue", "Category").add_root(name="Cookery")
    for number in range(1, 6):
        goods = model("catalogue", "Product").objects.create(title=f"Book number {number}", product_class=kind, upc=f"upc{number}", description=f"About dish {number}")
        goods.categories.add(shelf)
        model("partner", "StockRecord").objects.create(product=goods, partner=partner, partner_sku=f"sku{number}", price=Decimal("10.00") + number, num_in_stock=100)
    User.objects.create_superuser("boss", "boss@canaries.test", "secret of the boss", first_name="Canaryboss", last_name="Canarina")
    User.objects.create_user("old", "ottilie@canaries.test", "secret of ottilie", first_name="Canaryottilie", last_name="Canarsky")


class Form(HTMLParser):
    """What a browser would send back of the form of a page that has this field."""

    def __init__(self, text: str, field: str):
        super().__init__()
        self.forms, self.select, self.area = [], None, None
        self.feed(text)
        self.values = next(form for form in self.forms if field in form)

    def handle_starttag(self, tag, attributes):
        one = dict(attributes)
        name = one.get("name")
        if tag == "form":
            self.forms.append({})
        elif not self.forms:
            return
        elif tag == "input" and name and one.get("type") not in ("submit", "file", "button") and (one.get("type") not in ("checkbox", "radio") or "checked" in one):
            self.forms[-1][name] = one.get("value") or ""
        elif tag == "select":
            self.select = name
        elif tag == "option" and self.select and "selected" in one:
            self.forms[-1][self.select] = one.get("value") or ""
        elif tag == "textarea" and name:
            self.area = name
            self.forms[-1][name] = ""

    def handle_endtag(self, tag):
        if tag == "select":
            self.select = None
        elif tag == "textarea":
            self.area = None

    def handle_data(self, text):
        if self.area:
            self.forms[-1][self.area] += text


class Visitor:
    def __init__(self):
        self.client = Client(raise_request_exception=False)
        mail.outbox = []

    def tell(self, name, answer, /):
        errors = str(answer.exc_info[1])[:500] if getattr(answer, "exc_info", None) else None
        page = answer.content.decode("utf-8", "replace")
        print(json.dumps({"name": name, "status": answer.status_code, "goes_to": answer.headers.get("Location"), "failed": errors, "page": page, "mails": [[one.subject, one.body, one.to] for one in mail.outbox]}))
        mail.outbox.clear()
        return page

    def see(self, name, address, /, **more):
        return self.tell(name, self.client.get(address, more))

    def send(self, name, address, /, **fields):
        return self.tell(name, self.client.post(address, fields))

    def edit(self, name, address, field, /, **changes):
        """Fetches a page with a form, changes some fields, and sends all of them."""
        page = self.see(f"{name}: the form", address)
        try:
            values = Form(page, field).values
        except StopIteration:
            return self.tell(f"{name}: no form with {field}", self.client.get(address))
        return self.send(f"{name}: sent", address, **{**values, **changes})


def shop() -> None:
    """A customer, from registering to an order."""
    from oscar.apps.customer import forms
    from oscar.core.loading import get_model

    # A random one would change the order of lists.
    forms.generate_username = lambda: "a-name-by-chance"
    anna = Visitor()
    anna.see("catalogue", "/catalogue/")
    anna.see("category", "/catalogue/category/cookery_1/")
    anna.see("search", "/search/", q="number 3")
    anna.send("register", "/accounts/register/", **{"email": "anna@canaries.test", "password1": "a long secret 77", "password2": "a long secret 77",
                                                    "redirect_url": "", "registration_submit": "Register"})
    anna.see("account", "/accounts/profile/")
    anna.send("log out", "/accounts/logout/")
    anna.send("log in with a wrong password", "/accounts/login/", **{"login-username": "anna@canaries.test", "login-password": "wrong", "login_submit": "Log in"})
    anna.send("log in", "/accounts/login/", **{"login-username": "anna@canaries.test", "login-password": "a long secret 77", "login_submit": "Log in"})
    anna.edit("profile", "/accounts/profile/edit/", "first_name", first_name="Canaryanna", last_name="Canarova")
    anna.see("product", "/catalogue/book-number-2_2/")
    anna.send("into the basket", "/basket/add/2/", quantity="2")
    anna.send("more into the basket", "/basket/add/4/", quantity="1")
    anna.see("basket", "/basket/")
    anna.see("checkout", "/checkout/")
    anna.edit("shipping address", "/checkout/shipping-address/", "first_name", first_name="Canaryanna", last_name="Canarova", line1="Canarygasse 5", line4="Wien", postcode="1234", country="AT",
              phone_number="+43 1 5139842", notes="Leave it with the canarykeeper")
    anna.see("shipping method", "/checkout/shipping-method/")
    anna.see("payment", "/checkout/payment-details/")
    anna.see("preview", "/checkout/preview/")
    anna.send("place the order", "/checkout/preview/", action="place_order")
    anna.see("thank you", "/checkout/thank-you/")
    anna.see("orders", "/accounts/orders/")
    number = get_model("order", "Order").objects.values_list("number", flat=True).get()
    anna.see("order", f"/accounts/orders/{number}/")
    anna.see("address book", "/accounts/addresses/")
    address = get_model("address", "UserAddress").objects.values_list("pk", flat=True).first()
    anna.edit("address", f"/accounts/addresses/{address}/", "postcode", postcode="4321")
    anna.see("mails", "/accounts/emails/")
    anna.edit("profile again", "/accounts/profile/edit/", "first_name")


def office() -> None:
    """Somebody at a desk, who looks after orders and customers."""
    from oscar.core.loading import get_model

    number = get_model("order", "Order").objects.values_list("number", flat=True).get()
    boss = Visitor()
    boss.send("boss logs in", "/dashboard/login/", username="boss@canaries.test", password="secret of the boss", next="/dashboard/")
    boss.see("dashboard", "/dashboard/")
    boss.see("dashboard: orders", "/dashboard/orders/")
    boss.see("dashboard: orders by number", "/dashboard/orders/", order_number=number, response_format="html")
    boss.see("dashboard: order", f"/dashboard/orders/{number}/")
    boss.send("dashboard: order: note", f"/dashboard/orders/{number}/", order_action="save_note", message="called her", note_type="Info")
    boss.edit("dashboard: order: address", f"/dashboard/orders/{number}/shipping-address/", "line1", line4="Graz")
    boss.send("dashboard: order: status", f"/dashboard/orders/{number}/", order_action="change_order_status", new_status="Being processed")
    boss.see("dashboard: order statistics", "/dashboard/orders/statistics/")
    boss.see("dashboard: customers", "/dashboard/users/")
    someone = User.objects.values_list("pk", flat=True).get(username="old")
    boss.see("dashboard: customer", f"/dashboard/users/{someone}/")
    boss.see("dashboard: customers by mail", "/dashboard/users/", email="ottilie@canaries.test", name="", search="Search")
    boss.see("dashboard: reports", "/dashboard/reports/")
    boss.see("dashboard: products", "/dashboard/catalogue/")
    boss.see("admin: customers", "/admin/auth/user/")
    boss.edit("admin: customer", f"/admin/auth/user/{someone}/change/", "username", is_active="on", date_joined_0="2020-01-01", date_joined_1="00:00:00")
    boss.see("admin: addresses", "/admin/order/shippingaddress/")
    boss.see("admin: orders", "/admin/order/order/")
    boss.see("dashboard: customers in the end", "/dashboard/users/")


if __name__ == "__main__":
    {"prepare": prepare, "shop": shop, "office": office}[sys.argv[1]]()
