//! Hostile acts before the guest is ready, chosen by the variable `HOSTILE_INIT`.

use crate::raw::{Message, load, ring, system_call};
use std::hint::black_box;

/// Does what `HOSTILE_INIT` says; nothing without it.
///
/// | value | act | expected |
/// |---|---|---|
/// | `exit` | ends with code 7 | GUEST_EXITED |
/// | `loop` | never gets ready | TIMEOUT |
/// | `panic` | panics | GUEST_ABORT |
/// | `error` | the init function fails | GUEST_ABORT |
/// | `fault` | reads address 0 | GUEST_FAULT |
/// | `badready` | an interface that is none | INVALID_GUEST or PROTOCOL |
/// | `emptyready` | an interface of no bytes | the same |
/// | `hugeready` | an interface of 2 MiB | the same |
/// | `lyingready` | an interface of 2^64 - 1 bytes | PROTOCOL |
/// | `returnfirst` | a result although there was no call | PROTOCOL |
/// | `hostcallfirst` | calls the host before it is ready | PROTOCOL |
/// | `wrongsequence` | a first message with number 5 | PROTOCOL |
/// | `ringonly` | rings without a message | PROTOCOL |
/// | `output` | writes for ever | OUTPUT_LIMIT |
/// | `memory` | takes memory for ever | MEMORY_LIMIT |
/// | `stdin` | waits for input for ever | as the input says |
pub(crate) fn prepare() -> Result<(), String> {
    let Ok(act) = std::env::var("HOSTILE_INIT") else { return Ok(()) };
    let ready = Message { kind: 1, payload: b"not an interface", ..Message::default() };
    match act.as_str() {
        "exit" => std::process::exit(7),
        "loop" => loop {
            std::hint::spin_loop();
        },
        "panic" => panic!("HOSTILE_INIT=panic"),
        "error" => return Err("HOSTILE_INIT=error".to_owned()),
        "fault" => {
            load(0);
        }
        "badready" => ready.send(),
        "emptyready" => Message { payload: b"", ..ready }.send(),
        "hugeready" => Message { payload: &vec![0x41; 2 << 20], ..ready }.send(),
        "lyingready" => Message { length: Some(u64::MAX), ..ready }.send(),
        "returnfirst" => Message { kind: 2, payload: b"\xf6", ..ready }.send(),
        "hostcallfirst" => Message { kind: 4, payload: b"\x80", ..ready }.send(),
        "wrongsequence" => Message { sequence: Some(5), ..ready }.send(),
        "ringonly" => ring(),
        "output" => {
            let block = vec![b'x'; 64 << 10];
            loop {
                system_call(1, [1, block.as_ptr() as u64, block.len() as u64, 0, 0, 0]);
            }
        }
        "memory" => {
            let mut blocks = Vec::new();
            loop {
                blocks.push(vec![1_u8; 1 << 20]);
                black_box(&blocks);
            }
        }
        "stdin" => {
            let mut line = String::new();
            let _ = std::io::stdin().read_line(&mut line);
        }
        other => return Err(format!("HOSTILE_INIT={other} means nothing")),
    }
    Ok(())
}
