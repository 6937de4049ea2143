//! Enums in the four forms that serde has.

use crate::kinds::echo;
use ampoule_guest::guest_function;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tagged by a name around it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum External {
    /// Nothing at all.
    Empty,
    Number(i64),
    Pair(u64, String),
    Named {
        wide: u64,
        maybe: Option<String>,
    },
}

/// What was signed up for.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Account {
    id: u64,
    email: Option<String>,
}

/// Tagged by a field inside it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Internal {
    Login {
        user: String,
        at: u64,
    },
    Logout {
        reason: Option<String>,
    },
    /// A struct as it is, with a tag added to it.
    Signup(Account),
    Ping,
}

/// Tagged by a field beside it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "data")]
enum Adjacent {
    Text(String),
    Wide(u64),
    Point { x: f64, y: f64 },
    Nothing,
}

/// Tagged by nothing.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Untagged {
    Flag(bool),
    Wide(u64),
    Float(f64),
    Text(String),
    List(Vec<Untagged>),
    Range { from: i64, to: i64 },
    Named { name: String },
}

/// Flattened together with a tag.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Envelope {
    sequence: u64,
    #[serde(flatten)]
    event: Internal,
}

echo! {
    echo_external(External);
    echo_internal(Internal);
    echo_adjacent(Adjacent);
    echo_untagged(Untagged);
    echo_envelope(Envelope);
    echo_events(Vec<Internal>);
    echo_maybe_event(Option<Internal>);
}
