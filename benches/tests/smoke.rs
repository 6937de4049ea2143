//! Every benchmark runs, with a few samples each.

use ampoule_testkit::{guest, kvm_is_available};
use std::process::Command;

#[test]
fn every_benchmark_runs_and_is_recorded() {
    if !kvm_is_available() {
        return;
    }
    let _built = guest("bench");
    let record = std::env::temp_dir().join(format!("ampoule-bench-{}.json", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--smoke", "--json"])
        .arg(&record)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names: Vec<_> = report["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|measurement| measurement["name"].as_str().unwrap())
        .collect();
    let due =
        ["exit", "call of add", "copy", "restore, pages together", "create", "snapshot", "fork"];
    for name in due {
        assert!(names.contains(&name), "{name} is missing among {names:?}");
    }
    let call = report["measurements"].as_array().unwrap().iter();
    let call = call.clone().find(|measurement| measurement["name"] == "call of add").unwrap();
    assert_eq!(call["counts"]["exits"], 1.0, "{call}");
}
