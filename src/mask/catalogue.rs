//! What masks there are: names, parameters, and what each says of itself.

/// What is to be known of a mask before it is chosen.
#[derive(Debug, PartialEq, Eq)]
pub struct MaskInfo {
    /// Its name in policies.
    pub name: &'static str,
    /// Names that other products have for it.
    pub aliases: &'static [Alias],
    /// Its parameters.
    pub parameters: &'static [ParamInfo],
    /// The parameter that a bare value after the mask's name stands for.
    pub main: Option<&'static str>,
    /// The PostgreSQL types that it fits, for people; [`super::Mask::fits`] is the rule.
    pub types: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// Whether equal values always look equal.
    pub deterministic: bool,
    /// Whether the value can be had back from what is shown.
    pub reversible: bool,
    /// Whether text has as many characters afterwards as before.
    pub keeps_length: bool,
}

/// Another product's name for a mask, with the parameters that the name implies.
#[derive(Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name, in lower case.
    pub name: &'static str,
    /// Parameters that it implies where the policy does not give them.
    pub implied: &'static [(&'static str, &'static str)],
}

/// A parameter of a mask.
#[derive(Debug, PartialEq, Eq)]
pub struct ParamInfo {
    /// Its name in policies.
    pub name: &'static str,
    /// Other names that are accepted.
    pub aliases: &'static [&'static str],
    /// Its value where the policy gives none; `None`: it must be given.
    pub default: Option<&'static str>,
    /// What it means, with its range.
    pub description: &'static str,
}

/// The mask of that name or alias. Case does not matter, `-` is `_`, and a trailing `()` is left out.
pub fn lookup(name: &str) -> Option<&'static MaskInfo> {
    find(name).map(|(info, _)| info)
}

/// The mask of that name, with the parameters that an alias implies.
pub(super) fn find(name: &str) -> Option<(&'static MaskInfo, &'static [(&'static str, &'static str)])> {
    let wanted = normalized(name);
    CATALOGUE.iter().find_map(|info| {
        if info.name == wanted {
            return Some((info, &[] as &[_]));
        }
        info.aliases.iter().find(|alias| alias.name == wanted).map(|alias| (info, alias.implied))
    })
}

/// A name as the catalogue writes it.
pub(super) fn normalized(name: &str) -> String {
    let name = name.trim();
    name.strip_suffix("()").unwrap_or(name).to_ascii_lowercase().replace('-', "_")
}

const fn alias(name: &'static str) -> Alias {
    Alias { name, implied: &[] }
}

const KEY: ParamInfo = ParamInfo {
    name: "key",
    aliases: &[],
    default: Some("default"),
    description: "the name of the secret key; the same key gives the same result in every column",
};

const COUNT: ParamInfo = ParamInfo {
    name: "count",
    aliases: &["n", "keep", "characters"],
    default: Some("4"),
    description: "how many characters are kept, 1 to 64",
};

/// Every mask, in the order in which they are listed for people.
pub static CATALOGUE: &[MaskInfo] = &[
    MaskInfo {
        name: "full",
        aliases: &[alias("default"), alias("default_masking_value"), alias("redact"), alias("mask"), alias("mask_all")],
        parameters: &[],
        main: None,
        types: "all",
        description: "each character but white space becomes #; other types than text: 0, false, 1970-01-01, ...",
        deterministic: true,
        reversible: false,
        keeps_length: true,
    },
    MaskInfo {
        name: "partial",
        aliases: &[alias("keep_first_n_last_m"), alias("mask_inner"), alias("inner")],
        parameters: &[
            ParamInfo {
                name: "prefix",
                aliases: &["n", "first", "margin1"],
                default: Some("0"),
                description: "how many characters are kept at the start, 0 to 64",
            },
            ParamInfo {
                name: "suffix",
                aliases: &["m", "last", "margin2"],
                default: Some("0"),
                description: "how many characters are kept at the end, 0 to 64",
            },
            ParamInfo {
                name: "pad",
                aliases: &["padding"],
                default: Some("***"),
                description: "what stands for the rest, whatever its length; up to 32 characters",
            },
        ],
        main: None,
        types: "text, varchar, char(n), name, citext",
        description: "keeps first and last characters and puts the pad between; a short value becomes the pad alone",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "show_first",
        aliases: &[
            Alias { name: "first4", implied: &[("count", "4")] },
            Alias { name: "first_four_characters", implied: &[("count", "4")] },
            Alias { name: "show_first_4", implied: &[("count", "4")] },
            Alias { name: "mask_show_first_4", implied: &[("count", "4")] },
        ],
        parameters: &[COUNT],
        main: Some("count"),
        types: "text, varchar, char(n), name, citext",
        description: "keeps the first characters, each other becomes #; a short value becomes # altogether",
        deterministic: true,
        reversible: false,
        keeps_length: true,
    },
    MaskInfo {
        name: "show_last",
        aliases: &[
            Alias { name: "last4", implied: &[("count", "4")] },
            Alias { name: "last_four_characters", implied: &[("count", "4")] },
            Alias { name: "show_last_4", implied: &[("count", "4")] },
            Alias { name: "mask_show_last_4", implied: &[("count", "4")] },
        ],
        parameters: &[COUNT],
        main: Some("count"),
        types: "text, varchar, char(n), name, citext",
        description: "keeps the last characters, each other becomes #; a short value becomes # altogether",
        deterministic: true,
        reversible: false,
        keeps_length: true,
    },
    MaskInfo {
        name: "email",
        aliases: &[alias("email_mask"), alias("partial_email"), alias("mask_email")],
        parameters: &[],
        main: None,
        types: "text, varchar, char(n), name, citext",
        description: "jane@example.org becomes j###@#######.###; what is no e-mail address is masked as by full",
        deterministic: true,
        reversible: false,
        keeps_length: true,
    },
    MaskInfo {
        name: "phone",
        aliases: &[alias("mask_phone"), alias("telephone")],
        parameters: &[ParamInfo {
            name: "keep",
            aliases: &["count", "n", "digits"],
            default: Some("4"),
            description: "how many digits are kept at the end, 0 to 8",
        }],
        main: Some("keep"),
        types: "text, varchar, char(n), name, citext",
        description: "keeps the last digits, a leading + and separators; what is no number is masked as by full",
        deterministic: true,
        reversible: false,
        keeps_length: true,
    },
    MaskInfo {
        name: "card",
        aliases: &[alias("mask_pan"), alias("pan"), alias("credit_card"), alias("card_number")],
        parameters: &[],
        main: None,
        types: "text, varchar, char(n), name, citext",
        description: "keeps the last four of 12 to 19 digits, and separators; anything else is masked as by full",
        deterministic: true,
        reversible: false,
        keeps_length: true,
    },
    MaskInfo {
        name: "iban",
        aliases: &[alias("mask_iban")],
        parameters: &[],
        main: None,
        types: "text, varchar, char(n), name, citext",
        description: "keeps the country code, the last four characters and blanks; what is no IBAN is masked as by full",
        deterministic: true,
        reversible: false,
        keeps_length: true,
    },
    MaskInfo {
        name: "hash",
        aliases: &[alias("digest"), alias("sha256"), alias("mask_hash"), alias("hmac")],
        parameters: &[
            KEY,
            ParamInfo {
                name: "digits",
                aliases: &["length"],
                default: Some("16"),
                description: "how many hexadecimal digits are shown, 8 to 64",
            },
        ],
        main: Some("key"),
        types: "text, varchar, char(n), name, citext, bytea",
        description: "HMAC-SHA-256 under a secret key, in hexadecimal digits (bytea: in bytes)",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "pseudonym",
        aliases: &[
            alias("pseudonymize"),
            alias("pseudonymise"),
            alias("pseudonymization"),
            alias("pseudo"),
            alias("tokenize"),
            alias("tokenise"),
        ],
        parameters: &[KEY],
        main: Some("key"),
        types: "text, varchar, char(n), name, citext, int2, int4, int8, uuid, date",
        description: "a stand-in of the same sort, the same for the same value: an e-mail address, digits, a word, ...",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "date_trunc",
        aliases: &[
            Alias { name: "date_year_mask", implied: &[("unit", "year")] },
            Alias { name: "mask_date_show_year", implied: &[("unit", "year")] },
            alias("datetime"),
            alias("truncate_date"),
        ],
        parameters: &[ParamInfo {
            name: "unit",
            aliases: &["to", "precision"],
            default: None,
            description: "what is kept: year, month, day or hour",
        }],
        main: Some("unit"),
        types: "timestamp, timestamptz; date for year and month",
        description: "cuts a date or time down to the start of its year, month, day or hour",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "round",
        aliases: &[alias("rounding")],
        parameters: &[ParamInfo {
            name: "step",
            aliases: &["to"],
            default: None,
            description: "a positive number; integers need a whole step of 2 or more",
        }],
        main: Some("step"),
        types: "int2, int4, int8, numeric, float4, float8",
        description: "rounds a number to a multiple of the step, half away from zero",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "bucket",
        aliases: &[alias("generalize"), alias("generalise"), alias("bucketize")],
        parameters: &[ParamInfo {
            name: "width",
            aliases: &["step", "size"],
            default: None,
            description: "a positive number; integers need a whole width of 2 or more",
        }],
        main: Some("width"),
        types: "int2, int4, int8, numeric, float4, float8",
        description: "shows the lower edge of the bucket that a number is in",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "network",
        aliases: &[alias("ip"), alias("mask_ip"), alias("truncate_ip"), alias("ip_address")],
        parameters: &[
            ParamInfo {
                name: "v4",
                aliases: &["ipv4"],
                default: Some("24"),
                description: "bits kept of an IPv4 address, 0 to 31",
            },
            ParamInfo {
                name: "v6",
                aliases: &["ipv6"],
                default: Some("48"),
                description: "bits kept of an IPv6 address, 0 to 127",
            },
        ],
        main: Some("v4"),
        types: "inet, cidr, text, varchar, char(n), name, citext",
        description: "keeps the network part of an address; text that is no address is masked as by full",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "replace",
        aliases: &[
            alias("value"),
            alias("constant"),
            Alias { name: "confidential", implied: &[("text", "CONFIDENTIAL")] },
        ],
        parameters: &[ParamInfo {
            name: "text",
            aliases: &["value", "with"],
            default: None,
            description: "what is shown, as the type writes it",
        }],
        main: Some("text"),
        types: "text, varchar, char(n), name, citext; others if the text is a value of the type",
        description: "shows the same fixed value for every value",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
    MaskInfo {
        name: "nullify",
        aliases: &[alias("null"), alias("always_null"), alias("mask_null")],
        parameters: &[],
        main: None,
        types: "all",
        description: "shows NULL, also where the column is NOT NULL",
        deterministic: true,
        reversible: false,
        keeps_length: false,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_means_two_masks() {
        let mut seen = HashSet::new();
        for info in CATALOGUE {
            for name in std::iter::once(info.name).chain(info.aliases.iter().map(|alias| alias.name)) {
                assert!(seen.insert(name), "{name} twice");
                assert_eq!(normalized(name), name);
            }
        }
    }

    #[test]
    fn implied_and_main_parameters_exist() {
        for info in CATALOGUE {
            let names: Vec<&str> = info.parameters.iter().map(|parameter| parameter.name).collect();
            assert!(info.main.is_none_or(|main| names.contains(&main)), "{}", info.name);
            for alias in info.aliases {
                assert!(alias.implied.iter().all(|(name, _)| names.contains(name)), "{}", alias.name);
            }
        }
    }

    #[test]
    fn names_of_other_products_are_known() {
        for (name, canonical) in [
            ("default()", "full"),
            ("ALWAYS_NULL", "nullify"),
            ("LAST_FOUR_CHARACTERS", "show_last"),
            ("keep-first-n-last-m", "partial"),
            ("EMAIL_MASK", "email"),
            ("mask_pan", "card"),
            ("sha256", "hash"),
            ("DATE_YEAR_MASK", "date_trunc"),
            ("generalize", "bucket"),
            ("tokenize", "pseudonym"),
            ("CONFIDENTIAL", "replace"),
        ] {
            assert_eq!(lookup(name).map(|info| info.name), Some(canonical), "{name}");
        }
        assert_eq!(lookup("noise"), None);
    }
}
