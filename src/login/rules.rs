//! The rules of logins, in the form of `pg_hba.conf` (PostgreSQL manual, section 21.1).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::token::{Line, Token, lines};
use super::{NameMap, RuleError};

/// The rules in their order, and the name maps that they use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    map: NameMap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    transport: Transport,
    databases: Vec<Database>,
    users: Vec<User>,
    networks: Vec<IpNet>,
    method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Any,
    Tls,
    Plain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Database {
    All,
    SameUser,
    SameRole,
    Replication,
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum User {
    All,
    MemberOf(String),
    Named(String),
}

/// How who matches a rule logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// The server asks, and pgveil passes on what is said.
    Relay(Option<CertificateCheck>),
    /// pgveil checks the password by SCRAM-SHA-256, and logs in at the server with the keys that the proof yields.
    Scram(Option<CertificateCheck>),
    /// The client's certificate says who it is; the server has to let pgveil in without a password.
    Cert(CertificateCheck),
    /// Not at all.
    Reject,
}

/// What the client's certificate has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateCheck {
    /// One of an authority that is known.
    Known,
    /// Its common name is the database user.
    User,
    /// Its common name may come as the database user by this map.
    Mapped(String),
}

/// A client that wants to log in.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Whether it uses TLS.
    pub tls: bool,
    /// The database user that it wants to be.
    pub user: &'a str,
    /// The database that it wants.
    pub database: &'a str,
    /// Whether it wants physical replication, which belongs to no database.
    pub replication: bool,
    /// Whether the user is a member of a role.
    pub is_member: &'a dyn Fn(&str) -> bool,
}

impl Default for Rules {
    /// Every login is relayed.
    fn default() -> Self {
        let rule = Rule {
            transport: Transport::Any,
            databases: vec![Database::All, Database::Replication],
            users: vec![User::All],
            networks: everywhere(),
            method: Method::Relay(None),
        };
        Self { rules: vec![rule], map: NameMap::default() }
    }
}

impl Rules {
    /// Read the text of a file of rules; `map`: the name maps that they may use.
    ///
    /// # Errors
    /// The first line that is wrong, or that PostgreSQL would understand and pgveil does not.
    pub fn parse(text: &str, map: NameMap) -> Result<Self, RuleError> {
        let rules = lines(text)?.iter().map(|line| Rule::parse(line, &map)).collect::<Result<_, _>>()?;
        Ok(Self { rules, map })
    }

    /// How this client logs in, by the first rule that it matches. `None`: it matches none, and may not.
    pub fn method(&self, arrival: &Arrival<'_>) -> Option<&Method> {
        self.rules.iter().find(|rule| rule.matches(arrival)).map(|rule| &rule.method)
    }

    /// Whether any rule wants client certificates.
    pub fn want_certificates(&self) -> bool {
        self.rules.iter().any(|rule| match &rule.method {
            Method::Relay(check) | Method::Scram(check) => check.is_some(),
            Method::Cert(_) => true,
            Method::Reject => false,
        })
    }

    /// Whether any rule needs password verifiers.
    pub fn want_verifiers(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.method, Method::Scram(_)))
    }

    /// Whether a certificate of this common name (`None`: no certificate was shown) passes a check for this user.
    pub fn passes(&self, check: &CertificateCheck, shown: bool, common_name: Option<&str>, user: &str) -> bool {
        match check {
            CertificateCheck::Known => shown,
            CertificateCheck::User => common_name.is_some_and(|name| name == user),
            CertificateCheck::Mapped(map) => common_name.is_some_and(|name| self.map.allows(map, name, user)),
        }
    }
}

impl Rule {
    fn matches(&self, arrival: &Arrival<'_>) -> bool {
        let transport = match self.transport {
            Transport::Any => true,
            Transport::Tls => arrival.tls,
            Transport::Plain => !arrival.tls,
        };
        // a client of IPv4 on a socket of both is one of IPv4
        let address = arrival.address.to_canonical();
        transport
            && self.networks.iter().any(|network| network.contains(&address))
            && self.databases.iter().any(|database| database.matches(arrival))
            && self.users.iter().any(|user| match user {
                User::All => true,
                User::MemberOf(role) => role == arrival.user || (arrival.is_member)(role),
                User::Named(name) => name == arrival.user,
            })
    }

    fn parse(line: &Line, map: &NameMap) -> Result<Self, RuleError> {
        let mut fields = line.fields.iter();
        let kind = one(fields.next(), line)?;
        let transport = match kind.text.as_str() {
            "host" => Transport::Any,
            "hostssl" => Transport::Tls,
            "hostnossl" => Transport::Plain,
            "local" => return Err(kind.error("pgveil listens on TCP only: remove this line")),
            "hostgssenc" | "hostnogssenc" => {
                return Err(kind.error("pgveil has no GSSAPI encryption: remove this line, or write host"));
            }
            _ => return Err(kind.error("expected host, hostssl or hostnossl")),
        };
        let missing = |what: &str| line.error(format!("{what} is missing behind this"));
        let databases = fields.next().ok_or_else(|| missing("the database"))?;
        let databases = databases.iter().map(Database::parse).collect::<Result<Vec<_>, _>>()?;
        let users = fields.next().ok_or_else(|| missing("the user"))?;
        let users = users.iter().map(User::parse).collect::<Result<Vec<_>, _>>()?;
        let address = one(Some(fields.next().ok_or_else(|| missing("the address"))?), line)?;
        let networks = match (address.is("all"), address.text.parse::<IpAddr>()) {
            (true, _) => everywhere(),
            (false, Ok(address_alone)) => {
                let mask = one(Some(fields.next().ok_or_else(|| missing("the network mask"))?), line)?;
                vec![masked(address_alone, mask)?]
            }
            (false, Err(_)) => vec![network(address)?],
        };
        let method = one(Some(fields.next().ok_or_else(|| missing("the method"))?), line)?;
        let options = fields.flatten().map(Setting::parse).collect::<Result<Vec<_>, _>>()?;
        let method = parse_method(method, transport, &options, map)?;
        Ok(Self { transport, databases, users, networks, method })
    }
}

impl Database {
    fn parse(token: &Token) -> Result<Self, RuleError> {
        Ok(match token {
            token if token.is("all") => Self::All,
            token if token.is("sameuser") => Self::SameUser,
            token if token.is("samerole") || token.is("samegroup") => Self::SameRole,
            token if token.is("replication") => Self::Replication,
            token => Self::Named(name(token)?),
        })
    }

    fn matches(&self, arrival: &Arrival<'_>) -> bool {
        // physical replication is in no database, not even in "all"
        match self {
            Self::Replication => arrival.replication,
            _ if arrival.replication => false,
            Self::All => true,
            Self::SameUser => arrival.database == arrival.user,
            Self::SameRole => arrival.database == arrival.user || (arrival.is_member)(arrival.database),
            Self::Named(name) => name == arrival.database,
        }
    }
}

impl User {
    fn parse(token: &Token) -> Result<Self, RuleError> {
        if token.is("all") {
            return Ok(Self::All);
        }
        match token.text.strip_prefix('+').filter(|_| !token.quoted) {
            Some("") => Err(token.error("expected the name of a role behind +")),
            Some(role) => Ok(Self::MemberOf(role.to_owned())),
            None => name(token).map(Self::Named),
        }
    }
}

fn name(token: &Token) -> Result<String, RuleError> {
    if !token.quoted && token.text.starts_with('/') {
        return Err(token.error("regular expressions are not supported: name each, with commas between them"));
    }
    Ok(token.text.clone())
}

fn one<'a>(field: Option<&'a Vec<Token>>, line: &Line) -> Result<&'a Token, RuleError> {
    match field.map(Vec::as_slice) {
        Some([token]) => Ok(token),
        Some([_, second, ..]) => Err(second.error("only one value can stand here")),
        Some([]) | None => Err(line.error("a field is missing behind this")),
    }
}

fn everywhere() -> Vec<IpNet> {
    vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

/// `address/bits`.
fn network(token: &Token) -> Result<IpNet, RuleError> {
    let said = if token.is("samehost") || token.is("samenet") || token.text.parse::<IpNet>().is_err() {
        "expected all, or a network such as 10.0.0.0/8 or fd00::/8; host names, samehost and samenet are not supported"
    } else {
        ""
    };
    let network: IpNet = token.text.parse().map_err(|_| token.error(said))?;
    exact(network, token)
}

/// An address and a mask.
fn masked(address: IpAddr, mask: &Token) -> Result<IpNet, RuleError> {
    let wrong = || mask.error("expected a network mask such as 255.255.255.0, or write ADDRESS/BITS before it");
    let parsed: IpAddr = mask.text.parse().map_err(|_| wrong())?;
    exact(IpNet::with_netmask(address, parsed).map_err(|_| wrong())?, mask)
}

/// Bits behind the prefix would be read by nobody, and so probably mean something else than they do.
fn exact(network: IpNet, token: &Token) -> Result<IpNet, RuleError> {
    let trunc = network.trunc();
    if trunc == network {
        Ok(network)
    } else {
        Err(token.error(format!("the network {trunc} is meant, or another prefix")))
    }
}

/// `name=value` behind the method.
struct Setting<'a> {
    name: &'a str,
    value: &'a str,
    token: &'a Token,
}

impl<'a> Setting<'a> {
    fn parse(token: &'a Token) -> Result<Self, RuleError> {
        let (name, value) = token
            .text
            .split_once('=')
            .ok_or_else(|| token.error("expected an option such as clientcert=verify-full"))?;
        Ok(Self { name, value, token })
    }
}

fn parse_method(
    method: &Token,
    transport: Transport,
    options: &[Setting<'_>],
    map: &NameMap,
) -> Result<Method, RuleError> {
    let (mut check, mut mapped) = (None, None);
    for option in options {
        match (option.name, option.value) {
            ("clientcert", "verify-ca") => check = Some(CertificateCheck::Known),
            ("clientcert", "verify-full") => check = Some(CertificateCheck::User),
            ("clientcert", _) => return Err(option.token.error("clientcert is verify-ca or verify-full")),
            ("map", name) if map.has(name) => mapped = Some(CertificateCheck::Mapped(name.to_owned())),
            ("map", name) => {
                let said = format!("there is no map \"{name}\" in the file of setting login.ident_file");
                return Err(option.token.error(said));
            }
            (name, _) => {
                return Err(option.token.error(format!("the option {name} is not known: clientcert and map are")));
            }
        }
    }
    let is_cert = method.is("cert");
    if (is_cert || check.is_some()) && transport != Transport::Tls {
        return Err(method.error("client certificates need TLS: write hostssl at the line's beginning"));
    }
    let check = match (is_cert, check, mapped) {
        (true, Some(CertificateCheck::Known), _) => {
            return Err(method.error("cert always checks the name: remove clientcert=verify-ca"));
        }
        (true, _, mapped) => mapped.or(Some(CertificateCheck::User)),
        (false, Some(CertificateCheck::User), Some(mapped)) => Some(mapped),
        (false, _, Some(_)) => {
            return Err(method.error("map goes with cert, or with clientcert=verify-full"));
        }
        (false, check, None) => check,
    };
    match (method.text.as_str(), check) {
        ("relay", check) => Ok(Method::Relay(check)),
        ("scram-sha-256", check) => Ok(Method::Scram(check)),
        ("cert", Some(check)) => Ok(Method::Cert(check)),
        ("reject", None) => Ok(Method::Reject),
        ("reject", Some(_)) => Err(method.error("reject takes no options")),
        ("trust" | "md5" | "password" | "peer" | "ident" | "gss" | "sspi" | "ldap" | "radius" | "pam" | "bsd", _) => {
            Err(method.error("write relay: the server then asks for what its own pg_hba.conf says"))
        }
        _ => Err(method.error("expected relay, scram-sha-256, cert or reject")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
# TYPE     DATABASE      USER          ADDRESS        METHOD
hostnossl  all           all           0.0.0.0/0      reject
hostssl    all           all           10.0.0.0/8     cert map=staff
hostssl    shop          +clerks,ann   all            scram-sha-256 clientcert=verify-ca
hostssl    sameuser      all           192.168.0.0 255.255.0.0  scram-sha-256
hostssl    replication   copier        all            relay
hostssl    \"all\"         all           ::1/128        relay
";

    fn said(rules: &Rules, address: &str, tls: bool, user: &str, database: &str, replication: bool) -> String {
        let is_member = |role: &str| user == "bea" && role == "clerks";
        let address = address.parse().unwrap();
        let arrival = Arrival { address, tls, user, database, replication, is_member: &is_member };
        rules.method(&arrival).map_or_else(|| "none".to_owned(), |method| format!("{method:?}"))
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let map = NameMap::parse("staff ann ann").unwrap();
        let rules = Rules::parse(FILE, map).unwrap();
        for (address, tls, user, database, replication, expected) in [
            ("10.1.2.3", false, "ann", "shop", false, "Reject"),
            ("::ffff:10.1.2.3", false, "ann", "shop", false, "Reject"),
            ("10.1.2.3", true, "ann", "shop", false, "Cert(Mapped(\"staff\"))"),
            ("::ffff:10.1.2.3", true, "ann", "shop", false, "Cert(Mapped(\"staff\"))"),
            ("172.16.0.1", true, "ann", "shop", false, "Scram(Some(Known))"),
            ("172.16.0.1", true, "bea", "shop", false, "Scram(Some(Known))"),
            ("172.16.0.1", true, "clerks", "shop", false, "Scram(Some(Known))"),
            ("172.16.0.1", true, "cid", "shop", false, "none"),
            ("172.16.0.1", true, "ann", "other", false, "none"),
            ("192.168.9.9", true, "cid", "cid", false, "Scram(None)"),
            ("172.16.0.1", true, "copier", "shop", true, "Relay(None)"),
            ("10.1.2.3", true, "ann", "shop", true, "none"),
            ("::1", true, "cid", "all", false, "Relay(None)"),
            ("::1", true, "cid", "shop", false, "none"),
            ("::1", false, "cid", "all", false, "none"),
        ] {
            assert_eq!(
                said(&rules, address, tls, user, database, replication),
                expected,
                "{address} {tls} {user} {database}"
            );
        }
        assert!(rules.want_certificates() && rules.want_verifiers());
    }

    #[test]
    fn without_a_file_every_login_is_relayed() {
        let rules = Rules::default();
        for (address, replication) in [("10.1.2.3", false), ("fd00::1", true)] {
            assert_eq!(said(&rules, address, false, "ann", "shop", replication), "Relay(None)");
        }
        assert!(!rules.want_certificates() && !rules.want_verifiers());
        assert_eq!(said(&Rules::parse("", NameMap::default()).unwrap(), "::1", true, "a", "b", false), "none");
    }

    #[test]
    fn a_certificate_passes_as_the_rule_says() {
        let rules = Rules::parse("", NameMap::parse("staff bob.smith bob").unwrap()).unwrap();
        let mapped = CertificateCheck::Mapped("staff".to_owned());
        for (check, shown, name, user, expected) in [
            (&CertificateCheck::Known, false, None, "bob", false),
            (&CertificateCheck::Known, true, None, "bob", true),
            (&CertificateCheck::User, true, Some("bob"), "bob", true),
            (&CertificateCheck::User, true, Some("Bob"), "bob", false),
            (&CertificateCheck::User, true, None, "bob", false),
            (&mapped, true, Some("bob.smith"), "bob", true),
            (&mapped, true, Some("bob"), "bob", false),
        ] {
            assert_eq!(rules.passes(check, shown, name, user), expected, "{check:?} {name:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_what_to_do() {
        for (text, expected) in [
            ("local all all peer", "1:1: pgveil listens on TCP only: remove this line"),
            ("\nremote all all all relay", "2:1: expected host, hostssl or hostnossl"),
            ("host all", "1:6: the user is missing behind this"),
            ("host all all 10.0.0.0/8", "1:14: the method is missing behind this"),
            ("host all all 10.0.0.1/8 relay", "1:14: the network 10.0.0.0/8 is meant, or another prefix"),
            (
                "host all all db.example relay",
                "1:14: expected all, or a network such as 10.0.0.0/8 or fd00::/8; host names, samehost and samenet are not supported",
            ),
            ("host all all all trust", "1:18: write relay: the server then asks for what its own pg_hba.conf says"),
            ("host all all all scram", "1:18: expected relay, scram-sha-256, cert or reject"),
            ("host all all all cert", "1:18: client certificates need TLS: write hostssl at the line's beginning"),
            ("hostssl all all all cert map=x", "1:26: there is no map \"x\" in the file of setting login.ident_file"),
            ("hostssl all all all relay clientcert=1", "1:27: clientcert is verify-ca or verify-full"),
            (
                "host all /^a$ all relay",
                "1:10: regular expressions are not supported: name each, with commas between them",
            ),
            ("host all all all relay x=1", "1:24: the option x is not known: clientcert and map are"),
        ] {
            assert_eq!(Rules::parse(text, NameMap::default()).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
