use super::*;
use proptest::prelude::*;

fn sample() -> Interface {
    Interface {
        abi_version: 0x1_0000,
        sdk: "ampoule-guest".into(),
        sdk_version: "0.1.0".into(),
        build_id: "demo 1.0".into(),
        exports: vec![Function {
            name: "greet".into(),
            documentation: Some("Greets \"a user\".".into()),
            parameters: vec![Parameter {
                name: "name".into(),
                schema: r#"{"type":"string"}"#.into(),
            }],
            result: r#"{"type":"null"}"#.into(),
        }],
        imports: vec![],
    }
}

#[test]
fn json_has_the_agreed_form() {
    assert_eq!(
        sample().to_json(),
        concat!(
            r#"{"abiVersion":65536,"sdk":"ampoule-guest","sdkVersion":"0.1.0","#,
            r#""buildId":"demo 1.0","exports":[{"name":"greet","#,
            r#""documentation":"Greets \"a user\".","#,
            r#""parameters":[{"name":"name","schema":{"type":"string"}}],"#,
            r#""result":{"type":"null"}}],"imports":[]}"#
        )
    );
}

#[test]
fn limits_are_named() {
    let change = |edit: fn(&mut Interface)| {
        let mut interface = sample();
        edit(&mut interface);
        Interface::decode(&interface.encode()).unwrap_err()
    };
    assert!(matches!(
        change(|i| i.exports[0].name = "a-b".into()),
        InterfaceError::InvalidName { name } if name == "a-b"
    ));
    assert!(matches!(
        change(|i| i.exports[0].documentation = Some("\u{1}".repeat(JSON_LIMIT / 6))),
        InterfaceError::TooLarge { limit: JSON_LIMIT, .. }
    ));
    assert!(matches!(
        change(|i| i.exports.push(i.exports[0].clone())),
        InterfaceError::DuplicateName { name } if name == "greet"
    ));
    assert!(matches!(
        change(|i| i.exports[0].parameters[0].schema = "[]".into()),
        InterfaceError::InvalidSchema { place, .. } if place == "greet.name"
    ));
    assert!(matches!(
        change(|i| i.exports[0].result = "{".into()),
        InterfaceError::InvalidSchema { place, .. } if place == "greet"
    ));
    assert!(matches!(
        change(|i| i.exports[0].parameters = vec![Parameter::default(); PARAMETER_LIMIT + 1]),
        InterfaceError::TooMany { count: 65, .. }
    ));
    assert!(matches!(change(|i| i.sdk = "x".repeat(SIZE_LIMIT)), InterfaceError::TooLarge { .. }));
    assert!(matches!(Interface::decode(b""), Err(InterfaceError::Malformed { .. })));
    assert!(matches!(Interface::decode(b"\x08\0\0\0AMPI"), Err(InterfaceError::Malformed { .. })));
}

#[test]
fn every_flipped_byte_gives_an_error_or_an_interface() {
    let good = sample().encode();
    for index in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[index] ^= flip;
            if let Ok(interface) = Interface::decode(&bytes) {
                serde_json::from_str::<serde_json::Value>(&interface.to_json()).unwrap();
            }
        }
    }
    for length in 0..good.len() {
        let _ = Interface::decode(&good[..length]);
    }
}

fn any_function() -> impl Strategy<Value = Function> {
    let parameters = prop::collection::vec(any::<String>(), 0..4);
    (any::<Option<String>>(), parameters, any::<String>()).prop_map(
        |(documentation, titles, title)| Function {
            name: String::new(),
            documentation,
            parameters: titles
                .iter()
                .enumerate()
                .map(|(index, title)| Parameter {
                    name: format!("p{index}"),
                    schema: json!({ "title": title }).to_string(),
                })
                .collect(),
            result: json!({ "title": title }).to_string(),
        },
    )
}

fn any_functions() -> impl Strategy<Value = Vec<Function>> {
    prop::collection::vec(any_function(), 0..5).prop_map(|mut functions| {
        for (index, function) in functions.iter_mut().enumerate() {
            function.name = format!("_f{index}");
        }
        functions
    })
}

proptest! {
    #[test]
    fn decode_gives_back_what_was_encoded(
        abi_version: u32,
        sdk: String,
        sdk_version: String,
        build_id: String,
        exports in any_functions(),
        imports in any_functions(),
    ) {
        let interface = Interface { abi_version, sdk, sdk_version, build_id, exports, imports };
        prop_assert_eq!(Interface::decode(&interface.encode()), Ok(interface.clone()));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&interface.to_json()).is_ok());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes: Vec<u8>, with_identifier: bool) {
        if with_identifier && bytes.len() >= 8 {
            bytes[4..8].copy_from_slice(b"AMPI");
        }
        let _ = Interface::decode(&bytes);
    }
}
