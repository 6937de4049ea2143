//! The loop against a host in ordinary memory, with functions that are made at run time.

use super::life::serve;
use super::*;
use crate::channel::tests::{Answer, alone, channel, play_host};
use crate::channel::{Channel, current};
use ampoule_abi::channel::{GuestMessage, HostMessage};
use ampoule_wire::interface::Interface;
use ampoule_wire::value::{self, Limits};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

const NUMBER: &str = r#"{"type":"integer","format":"int64"}"#;

/// Functions that are found in a list of names and factors: each multiplies, and one asks the host for the
/// factor.
struct Table(Vec<(String, i64)>);

impl Functions for Table {
    fn start(&mut self) -> Result<(), String> {
        self.0.push(("made_at_the_start".into(), 100));
        Ok(())
    }

    fn describe(&self) -> Description {
        let number = || NUMBER.to_owned();
        let function = |name: &str| Function {
            name: name.to_owned(),
            documentation: None,
            parameters: vec![Parameter { name: "value".into(), schema: number() }],
            result: number(),
        };
        let exports = self.0.iter().map(|(name, _)| function(name)).collect();
        Description { exports, imports: vec![function("factor")] }
    }

    fn call(
        &mut self,
        index: usize,
        arguments: CallArguments<'_>,
        result: &mut Vec<u8>,
    ) -> Result<(), GuestError> {
        let (name, factor) = &self.0[index];
        let value = arguments.read(|payload| {
            let mut arguments = Arguments::new(name, payload)?;
            let value = arguments.next("value", |from| i64::deserialize(from))?;
            arguments.finish()?;
            Ok(value)
        })?;
        let write = |out: &mut Vec<u8>| value::encode(&[value], out);
        let factor = match *factor {
            0 => call_host(0, write, |from| i64::deserialize(from))
                .map_err(|error| error.into_guest_error("factor"))?,
            factor => factor,
        };
        value::encode(&(value * factor), result).map_err(|error| invalid_result(name, &error))
    }
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value::encode(value, &mut bytes).unwrap();
    bytes
}

fn call(function: u32, arguments: &impl Serialize) -> Answer {
    (HostMessage::Call, function, encoded(arguments))
}

/// Unwinds out of the loop, which never returns.
struct Over;

/// What a guest with `functions` posts to a host that answers with one message after the other.
fn posted(functions: Vec<(&str, i64)>, answers: Vec<Answer>) -> Vec<(GuestMessage, u32, Vec<u8>)> {
    let functions = functions.into_iter().map(|(name, factor)| (name.to_owned(), factor));
    let mut table = Table(functions.collect());
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hearing = Rc::clone(&heard);
    let mut answers = answers.into_iter();
    play_host(move |(kind, function, payload)| {
        let kinds = [
            GuestMessage::Ready,
            GuestMessage::Return,
            GuestMessage::Error,
            GuestMessage::HostCall,
            GuestMessage::Abort,
        ];
        let kind = kinds.into_iter().find(|known| *known as u32 == kind).unwrap();
        hearing.borrow_mut().push((kind, function, payload));
        answers.next().unwrap_or_else(|| std::panic::resume_unwind(Box::new(Over)))
    });
    let channel: &'static Channel = current::set(channel());
    functions::start(&mut table).unwrap();
    let over = catch_unwind(AssertUnwindSafe(|| -> () { serve(channel, &mut table, "test 1") }));
    assert!(over.unwrap_err().is::<Over>());
    heard.take()
}

fn error(payload: &[u8]) -> GuestError {
    GuestError::decode(payload, &Limits::default()).unwrap()
}

#[test]
fn what_is_found_at_run_time_is_described_and_called() {
    let _alone = alone();
    let answers =
        vec![call(1, &[5]), call(0, &[5]), call(2, &[5]), call(3, &[5]), call(u32::MAX, &[5])];
    let heard = posted(vec![("double", 2), ("triple", 3)], answers);
    let (ready, _, interface) = &heard[0];
    assert_eq!(*ready, GuestMessage::Ready);
    let interface = Interface::decode(interface).unwrap();
    let names: Vec<_> = interface.exports.iter().map(|export| export.name.as_str()).collect();
    assert_eq!(names, ["double", "triple", "made_at_the_start"]);
    assert_eq!(interface.imports[0].name, "factor");
    assert_eq!((interface.sdk.as_str(), interface.build_id.as_str()), ("ampoule-guest", "test 1"));

    for ((kind, _, payload), expected) in heard[1..4].iter().zip([15, 10, 500]) {
        assert_eq!((*kind, value::decode::<i64>(payload)), (GuestMessage::Return, Ok(expected)));
    }
    for (kind, _, payload) in &heard[4..] {
        assert_eq!(*kind, GuestMessage::Error);
        assert_eq!(error(payload).kind, "UnknownFunction");
    }
    assert_eq!(heard.len(), 6);
}

#[test]
fn arguments_are_refused_by_names_that_were_made_at_run_time() {
    let _alone = alone();
    let heard = posted(
        vec![("double", 2)],
        vec![call(0, &["five"]), call(0, &[1, 2]), call(0, &Vec::<i64>::new())],
    );
    let messages: Vec<_> = heard[1..].iter().map(|(_, _, payload)| error(payload)).collect();
    assert!(messages.iter().all(|error| error.kind == "InvalidArgument"));
    assert!(messages[0].message.starts_with("argument `value` of `double`: "), "{messages:?}");
    assert_eq!(messages[1].message, "arguments of `double`: there are 1 arguments too many");
    assert_eq!(messages[2].message, "argument `value` of `double`: it is missing");
}

#[test]
fn a_host_function_is_called_by_its_index() {
    let _alone = alone();
    let failure = GuestError { kind: "Sad".into(), message: "no".into(), data: None };
    let answers = vec![
        call(0, &[5]),
        (HostMessage::HostReturn, 0, encoded(&7)),
        call(0, &[6]),
        (HostMessage::HostError, 0, failure.encode()),
        call(0, &[7]),
        (HostMessage::HostReturn, 0, encoded(&"text")),
    ];
    let heard = posted(vec![("ask", 0)], answers);
    let kinds: Vec<_> = heard.iter().map(|(kind, ..)| *kind).collect();
    use GuestMessage::{Error, HostCall, Ready, Return};
    assert_eq!(kinds, [Ready, HostCall, Return, HostCall, Error, HostCall, Error]);
    assert_eq!(value::decode::<Vec<i64>>(&heard[1].2), Ok(vec![5]));
    assert_eq!(value::decode::<i64>(&heard[2].2), Ok(35));
    let failed = error(&heard[4].2);
    assert_eq!(
        (failed.kind.as_str(), failed.message.as_str()),
        ("HostError", "host function `factor`: no")
    );
    assert_eq!(error(&heard[6].2).kind, "InvalidResult");
}
