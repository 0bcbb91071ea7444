//! What an application says of itself in a comment at the end of a statement (sqlcommenter): which part of it asks.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// The longest value of a tag that is written down, in bytes; what is longer is cut off.
const TAG_BYTES_MAX: usize = 200;

/// Which part of an application asks. It comes from the application: pgveil takes nothing but these tags, and cuts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Endpoint {
    /// The application's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<Arc<str>>,
    /// The controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<Arc<str>>,
    /// The controller's action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Arc<str>>,
    /// The route, without what its parameters are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// The framework.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framework: Option<Arc<str>>,
    /// W3C trace context: `00-` trace `-` span `-` flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Arc<str>>,
}

impl Endpoint {
    /// Out of the tags of a comment; `None`: none of them is known. Of a tag that is there twice the first counts.
    pub fn of(tags: impl IntoIterator<Item = (String, String)>) -> Option<Self> {
        let mut endpoint = Self::default();
        for (name, value) in tags {
            let place = match name.as_str() {
                "application" => &mut endpoint.application,
                "controller" => &mut endpoint.controller,
                "action" => &mut endpoint.action,
                "route" => &mut endpoint.route,
                "framework" => &mut endpoint.framework,
                "traceparent" if is_traceparent(&value) => &mut endpoint.traceparent,
                _ => continue,
            };
            place.get_or_insert_with(|| cut(&value).into());
        }
        (endpoint != Self::default()).then_some(endpoint)
    }
}

/// As of the W3C recommendation "Trace Context", section 3.2.2.
fn is_traceparent(value: &str) -> bool {
    let lengths = value.split('-').map(str::len);
    lengths.eq([2, 32, 16, 2]) && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

fn cut(value: &str) -> &str {
    value.get(..value.floor_char_boundary(TAG_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tags: &[(&str, &str)]) -> Option<Endpoint> {
        Endpoint::of(tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn only_known_tags_are_taken_and_they_are_cut() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let endpoint = of(&[
            ("route", "/orders/:id"),
            ("route", "/again"),
            ("password", "secret"),
            ("traceparent", trace),
            ("controller", &"ä".repeat(101)),
        ])
        .unwrap();
        assert_eq!(endpoint.route.as_deref(), Some("/orders/:id"));
        assert_eq!(endpoint.traceparent.as_deref(), Some(trace));
        assert_eq!(endpoint.controller.as_deref(), Some(&*"ä".repeat(100)));
        assert!(!serde_json::to_string(&endpoint).unwrap().contains("secret"));
        for unknown in [vec![], vec![("db_driver", "x")], vec![("traceparent", "jane@example.org")]] {
            assert_eq!(of(&unknown), None, "{unknown:?}");
        }
    }
}
