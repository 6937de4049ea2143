//! The interface that a guest describes: FlatBuffers.

use ampoule_wire::interface::{Function, Interface, Parameter};

/// What decodes is within bounds: it encodes, decodes to the same again, and is valid JSON.
pub fn check(input: &[u8]) {
    let Ok(interface) = Interface::decode(input) else { return };
    assert_eq!(Interface::decode(&interface.encode()).as_ref(), Ok(&interface));
    let json: serde_json::Value =
        serde_json::from_str(&interface.to_json()).expect("an interface is valid JSON");
    let exports = json["exports"].as_array().map_or(0, Vec::len);
    assert_eq!(exports, interface.exports.len());
}

/// Interfaces from empty to typical.
pub fn seeds() -> Vec<Vec<u8>> {
    let parameter =
        |name: &str, schema: &str| Parameter { name: name.to_owned(), schema: schema.to_owned() };
    let greet = Function {
        name: "greet".to_owned(),
        documentation: Some("Greets.".to_owned()),
        parameters: vec![
            parameter("name", r#"{"type":"string"}"#),
            parameter("times", r#"{"type":"integer","format":"uint64"}"#),
        ],
        result: r##"{"$ref":"#/$defs/G","$defs":{"G":{"type":"null"}}}"##.to_owned(),
    };
    let interface = Interface {
        abi_version: 0x1_0000,
        sdk: "seed".to_owned(),
        sdk_version: "1.0.0".to_owned(),
        build_id: "00ff".to_owned(),
        exports: vec![greet.clone(), Function { name: "other".to_owned(), ..greet.clone() }],
        imports: vec![greet],
    };
    vec![Interface::default().encode(), interface.encode()]
}
