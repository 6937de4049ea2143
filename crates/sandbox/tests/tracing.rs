//! What a guest tells of its calls.

#![expect(clippy::unwrap_used, reason = "a test file: failing loudly is the point")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;
#[path = "tracing/truth.rs"]
mod truth;

use ampoule_machine::monotonic;
use ampoule_sandbox::{
    Budget, CallTrace, Directives, Resumption, Sandbox, State, Step, StopRequest, TraceContext,
    TraceEntry, wall_offset,
};
use ampoule_testkit::kvm_is_available;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use support::{arguments, call, export, ready, result};

/// No arguments.
const NONE: [u8; 0] = [];

fn trace(directives: &str) -> CallTrace {
    CallTrace {
        directives: Some(Arc::new(Directives::parse(directives).unwrap())),
        context: TraceContext { trace_id: [0xab; 16], span_id: [0xcd; 8], flags: 1 },
        wall_offset: wall_offset(),
    }
}

/// Begins a traced call and runs to its first step.
fn begin(sandbox: &mut Sandbox, name: &str, values: &impl serde::Serialize) -> Step {
    begin_as(sandbox, name, values, &trace("trace"))
}

fn begin_as(
    sandbox: &mut Sandbox,
    name: &str,
    values: &impl serde::Serialize,
    trace: &CallTrace,
) -> Step {
    let function = export(sandbox, name);
    let budget = Budget { wall: Some(Duration::from_secs(60)), cpu: None };
    sandbox.begin_traced_call(function, &arguments(values), budget, Some(trace)).unwrap();
    sandbox.run()
}

/// What became of the spans of one or more calls.
#[derive(Debug, Default)]
struct Spans {
    names: HashMap<u32, String>,
    spans: Vec<Span>,
    events: Vec<(u32, String)>,
    problems: Vec<TraceEntry>,
}

#[derive(Debug)]
struct Span {
    number: u32,
    parent: u32,
    name: String,
    attributes: Vec<(String, String)>,
    opened: u64,
    closed: Option<(u64, u8)>,
}

impl Spans {
    fn of(sandbox: &mut Sandbox) -> Self {
        let mut spans = Self::default();
        spans.add(sandbox.take_trace());
        spans
    }

    fn add(&mut self, entries: Vec<TraceEntry>) {
        let text = |attributes: &[ampoule_spans::Attribute]| {
            let each = attributes.iter();
            each.map(|each| (each.name.to_string(), format!("{:?}", each.value))).collect()
        };
        for entry in entries {
            match entry {
                TraceEntry::Callsite(site) => {
                    self.names.insert(site.number, site.name.to_string());
                }
                TraceEntry::Open { span, parent, callsite, at, attributes, .. } => {
                    self.spans.push(Span {
                        number: span,
                        parent,
                        // Told of in an earlier call, if not in this one.
                        name: self.names.get(&callsite).cloned().unwrap_or_default(),
                        attributes: text(&attributes),
                        opened: at,
                        closed: None,
                    });
                }
                TraceEntry::Edit { span, attributes, .. } => {
                    self.span(span).attributes.extend::<Vec<_>>(text(&attributes));
                }
                TraceEntry::Close { span, at, ending } => {
                    self.span(span).closed = Some((at, ending));
                }
                TraceEntry::Event { span, attributes, .. } => {
                    let attributes: Vec<(String, String)> = text(&attributes);
                    let message = attributes.into_iter().find(|(name, _)| name == "message");
                    self.events.push((span, message.unwrap_or_default().1));
                }
                problem @ TraceEntry::Counts(_) => self.problems.push(problem),
                TraceEntry::HostCall { .. }
                | TraceEntry::HostReturn { .. }
                | TraceEntry::Link { .. }
                | TraceEntry::Start { .. } => {}
            }
        }
    }

    fn span(&mut self, number: u32) -> &mut Span {
        self.spans.iter_mut().find(|span| span.number == number).unwrap()
    }

    /// Names with the names of the parents, `call` for the call itself.
    fn tree(&self) -> Vec<String> {
        let name = |number: u32| {
            let span = self.spans.iter().find(|span| span.number == number);
            span.map_or("call", |span| &span.name)
        };
        self.spans.iter().map(|span| format!("{} in {}", span.name, name(span.parent))).collect()
    }

    /// Every child lies in its parent.
    fn assert_nested(&self) {
        for span in &self.spans {
            let Some(parent) = self.spans.iter().find(|each| each.number == span.parent) else {
                continue;
            };
            assert!(parent.opened <= span.opened, "{self:#?}");
            assert!(span.closed.unwrap().0 <= parent.closed.unwrap().0, "{self:#?}");
        }
    }
}

#[test]
fn a_traced_call_is_one_exit_and_tells_its_span() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    for round in 0..20 {
        let before = sandbox.statistics();
        assert_eq!(begin(&mut sandbox, "traced_add", &(round, 2)), Step::Return);
        assert_eq!(result::<i32>(&sandbox), round + 2);
        let after = sandbox.statistics();
        let entries = sandbox.take_trace();
        if round > 1 {
            assert_eq!(after.exits - before.exits, 1, "round {round}");
            // The callsite is known.
            assert!(matches!(entries[..], [TraceEntry::Open { .. }, TraceEntry::Close { .. }]));
        }
        if round == 0 {
            let mut spans = Spans::default();
            spans.add(entries);
            assert_eq!(spans.tree(), ["add in call"]);
            let attributes = &spans.spans[0].attributes;
            assert_eq!(attributes[0], ("left".to_owned(), "Signed(0)".to_owned()));
            assert_eq!(attributes[1], ("right".to_owned(), "Signed(2)".to_owned()));
            assert!(spans.problems.is_empty(), "{spans:#?}");
        }
        assert!(after.trace_bytes > before.trace_bytes);
        assert!(after.trace_events > before.trace_events);
    }
}

#[test]
fn a_call_that_nobody_traces_makes_the_guest_write_nothing() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let untraced = |sandbox: &mut Sandbox| {
        let before = sandbox.statistics();
        assert_eq!(call(sandbox, "nested", &(10,), Budget::default()), Step::Return);
        assert_eq!(sandbox.statistics().trace_bytes, before.trace_bytes);
        assert_eq!(sandbox.take_trace(), []);
    };
    untraced(&mut sandbox);
    assert_eq!(sandbox.statistics().trace_bytes, 0);
    assert_eq!(begin(&mut sandbox, "nested", &(10,)), Step::Return);
    assert_eq!(Spans::of(&mut sandbox).spans.len(), 10);
    untraced(&mut sandbox);
    // Off is as good as not traced.
    let written = sandbox.statistics().trace_bytes;
    assert_eq!(begin_as(&mut sandbox, "nested", &(10,), &trace("off")), Step::Return);
    assert_eq!(sandbox.statistics().trace_bytes, written);
}

#[test]
fn what_a_guest_publishes_unasked_is_counted_once() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("hostile");
    let clean = sandbox.snapshot().unwrap();
    let publish = |sandbox: &mut Sandbox| {
        let raw = ([7_u8; 32], None::<u64>, None::<u64>, None::<u64>, false);
        assert_eq!(call(sandbox, "trace_raw", &raw, Budget::default()), Step::Return);
    };
    publish(&mut sandbox);
    assert_eq!(sandbox.statistics().trace_bytes, 32);
    // A snapshot of a guest that has published: what it holds was counted.
    let published = sandbox.snapshot().unwrap();
    assert_eq!(sandbox.statistics().trace_bytes, 32);
    publish(&mut sandbox);
    assert_eq!(sandbox.statistics().trace_bytes, 64);
    for snapshot in [&published, &clean, &published] {
        sandbox.restore(Some(snapshot)).unwrap();
        assert_eq!(sandbox.statistics().trace_bytes, 64);
    }
    publish(&mut sandbox);
    sandbox.restore(Some(&clean)).unwrap();
    assert_eq!(sandbox.statistics().trace_bytes, 96);
    // Nor does a traced call take for its own what was published before it.
    let told = [&clean, &published].map(|snapshot| {
        sandbox.restore(Some(snapshot)).unwrap();
        let before = sandbox.statistics().trace_bytes;
        assert_eq!(begin(&mut sandbox, "ok", &NONE), Step::Return);
        assert_eq!(sandbox.take_trace(), []);
        sandbox.statistics().trace_bytes - before
    });
    assert_eq!(told[0], told[1]);
    let mut other = support::from_snapshot(&published);
    assert_eq!(other.statistics().trace_bytes, 0);
    publish(&mut other);
    assert_eq!(other.statistics().trace_bytes, 32);
}

#[test]
fn directives_are_those_of_the_call() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let mut events = |directives: &str| {
        assert_eq!(begin_as(&mut sandbox, "levels", &NONE, &trace(directives)), Step::Return);
        Spans::of(&mut sandbox).events.len()
    };
    assert_eq!(events("info"), 6);
    assert_eq!(events("trace"), 10);
    assert_eq!(events("testing=error"), 1);
    assert_eq!(events("warn,other::target=trace"), 2 + 5);
    assert_eq!(events("info"), 6);
}

#[test]
fn a_guest_that_is_stopped_has_told_of_everything_before() {
    if !kvm_is_available() {
        return;
    }
    let tree = ["first in call", "second in first", "third in second"];
    for (function, state) in
        [("spin_in_spans", "killed"), ("fault_in_spans", "fault"), ("panics_in_spans", "abort")]
    {
        let mut sandbox = ready("testing");
        let function_id = export(&sandbox, function);
        // The others end by themselves.
        let milliseconds = if state == "killed" { 30 } else { 60_000 };
        let budget = Budget { wall: Some(Duration::from_millis(milliseconds)), cpu: None };
        let trace = trace("trace");
        sandbox.begin_traced_call(function_id, &arguments(&NONE), budget, Some(&trace)).unwrap();
        assert_eq!(sandbox.run(), Step::Stopped, "{state}");
        assert!(matches!(sandbox.state(), State::Poisoned(_)));
        let spans = Spans::of(&mut sandbox);
        assert_eq!(spans.tree(), tree, "{state}");
        assert!(spans.events.iter().any(|(_, text)| text.contains("deep inside")), "{spans:#?}");
        spans.assert_nested();
        if state == "abort" {
            // The panic has closed them as it unwound the stack.
            assert!(spans.spans.iter().all(|span| span.closed.unwrap().1 == 3), "{spans:#?}");
        } else {
            let at = spans.spans[0].closed.unwrap();
            assert!(spans.spans.iter().all(|span| span.closed == Some(at) && at.1 == 2));
        }
    }
}

#[test]
fn waiting_for_a_processor_is_the_host_functions_time() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let trace = trace("trace");
    let step = begin_as(&mut sandbox, "host_in_span", &(7,), &trace);
    assert!(matches!(step, Step::HostCall { .. }));
    assert!(!sandbox.take_trace().is_empty());
    sandbox.resume(Resumption::HostReturn(&[7])).unwrap();
    let answered = monotonic();
    while monotonic() - answered < 100_000 {}
    let entered = monotonic();
    assert_eq!(sandbox.run(), Step::Return);
    let entries = sandbox.take_trace();
    let &TraceEntry::HostReturn { at, waited, is_stopped } = &entries[0] else {
        panic!("the return is the first of {entries:#?}")
    };
    assert!(i128::from(at) - trace.wall_offset >= i128::from(entered), "{entries:#?}");
    assert!(waited >= entered - answered && !is_stopped, "{entries:#?}");
}

#[test]
fn a_call_that_is_not_followed_knows_its_context_and_writes_nothing() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let unsampled = CallTrace {
        directives: None,
        context: TraceContext { flags: 0, ..trace("off").context },
        wall_offset: 0,
    };
    assert_eq!(begin_as(&mut sandbox, "current_context", &NONE, &unsampled), Step::Return);
    let expected = format!("00-{}-{}-00", "ab".repeat(16), "cd".repeat(8));
    assert_eq!(result::<Option<String>>(&sandbox), Some(expected));
    assert_eq!(begin_as(&mut sandbox, "nested", &(3,), &unsampled), Step::Return);
    assert_eq!((sandbox.take_trace(), sandbox.statistics().trace_bytes), (vec![], 0));
    assert_eq!(call(&mut sandbox, "current_context", &NONE, Budget::default()), Step::Return);
    assert_eq!(result::<Option<String>>(&sandbox), None);
}

#[test]
fn a_start_is_told_and_leaves_nothing_of_its_trace_in_the_image() {
    if !kvm_is_available() {
        return;
    }
    let mut config = support::functions("testing");
    config.environment.push(b"TESTING_INIT=trace".to_vec());
    let mut sandbox = support::create(&config);
    sandbox.begin_traced_start(Budget::default(), Some(&trace("trace"))).unwrap();
    assert_eq!(sandbox.run(), Step::Ready);
    let entries = sandbox.take_trace();
    assert!(matches!(entries[0], TraceEntry::Start { .. }), "{entries:#?}");
    let mut spans = Spans::default();
    spans.add(entries);
    assert_eq!(spans.tree(), ["prepare in call"]);
    // The guest's SDK looks at nothing in a call that nobody traces.
    let snapshot = sandbox.snapshot().unwrap();
    let mut other = support::from_snapshot(&snapshot);
    assert_eq!(call(&mut other, "nested", &(2,), Budget::default()), Step::Return);
    assert_eq!(other.statistics().trace_bytes, 0);
    assert_eq!(begin(&mut other, "nested", &(2,)), Step::Return);
    assert_eq!(Spans::of(&mut other).spans.len(), 2);
}

#[test]
fn a_stop_during_a_host_function_ends_what_is_open() {
    if !kvm_is_available() {
        return;
    }
    let providers = support::providers();
    let control = providers.control();
    let mut sandbox =
        Sandbox::create(&support::functions("testing"), control.clone(), providers).unwrap();
    sandbox.begin_start(Budget::default()).unwrap();
    assert_eq!(sandbox.run(), Step::Ready);
    assert!(matches!(begin(&mut sandbox, "host_in_span", &(7,)), Step::HostCall { .. }));
    let entries = sandbox.take_trace();
    assert!(matches!(entries.last(), Some(TraceEntry::HostCall { span: 3, .. })), "{entries:#?}");
    control.stop(StopRequest::Killed);
    assert_eq!(sandbox.run(), Step::Stopped);
    let entries = sandbox.take_trace();
    assert!(matches!(entries[0], TraceEntry::HostReturn { .. }), "{entries:#?}");
    let closed =
        entries.iter().filter(|entry| matches!(entry, TraceEntry::Close { ending: 2, .. }));
    assert_eq!(closed.count(), 3);
}

#[test]
fn a_full_batch_rings_and_nothing_is_lost() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let before = sandbox.statistics().exits;
    assert_eq!(begin(&mut sandbox, "many_events", &(5000,)), Step::Return);
    let spans = Spans::of(&mut sandbox);
    assert_eq!(spans.events.len(), 5000);
    assert!(spans.events.iter().all(|(span, _)| *span == spans.spans[0].number));
    assert!(spans.problems.is_empty(), "{:?}", spans.problems);
    let after = sandbox.statistics();
    // 5000 records of more than 64 bytes in batches of 64 KiB.
    assert!(after.exits - before >= 5, "{}", after.exits - before);
    assert!(after.trace_bytes > 5000 * 64);
}

#[test]
fn an_event_that_no_batch_can_hold_is_cut() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    assert_eq!(begin(&mut sandbox, "large_event", &(200_000,)), Step::Return);
    let entries = sandbox.take_trace();
    let event = entries.iter().find_map(|entry| match entry {
        TraceEntry::Event { attributes, .. } => Some(attributes),
        _ => None,
    });
    let names: Vec<&str> = event.unwrap().iter().map(|each| &*each.name).collect();
    assert!(names.contains(&"number") && names.contains(&"ampoule.truncated"), "{names:?}");
}

#[test]
fn records_beyond_the_limit_are_counted_and_the_call_goes_on() {
    if !kvm_is_available() {
        return;
    }
    let mut config = support::functions("testing");
    config.limits.trace_bytes = 10_000;
    let mut sandbox = support::start(&config);
    assert_eq!(begin(&mut sandbox, "many_events", &(2000,)), Step::Return);
    let spans = Spans::of(&mut sandbox);
    let [TraceEntry::Counts(counts)] = spans.problems[..] else { panic!("{:?}", spans.problems) };
    assert_eq!(counts.dropped + spans.events.len() as u64, 2000);
    assert!(spans.events.len() < 200);
    assert_eq!(spans.spans[0].closed.unwrap().1, 0, "what was opened is closed all the same");
    assert_eq!(sandbox.statistics().trace_dropped, counts.dropped);
}

#[test]
fn a_guest_knows_the_context_of_its_call_and_of_no_other() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    assert_eq!(begin(&mut sandbox, "current_context", &NONE), Step::Return);
    let expected = format!("00-{}-{}-01", "ab".repeat(16), "cd".repeat(8));
    assert_eq!(result::<Option<String>>(&sandbox), Some(expected));
    assert_eq!(call(&mut sandbox, "current_context", &NONE, Budget::default()), Step::Return);
    assert_eq!(result::<Option<String>>(&sandbox), None);
}

#[test]
fn spans_are_followed_after_a_restore_and_in_a_sandbox_from_a_snapshot() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    assert_eq!(begin(&mut sandbox, "leaves_open", &NONE), Step::Return);
    assert_eq!(Spans::of(&mut sandbox).spans[0].closed.unwrap().1, 1);
    // Taken while the guest remembers what it has told, and a span is open.
    let snapshot = sandbox.snapshot().unwrap();
    let mut other = support::from_snapshot(&snapshot);
    for _ in 0..3 {
        for sandbox in [&mut sandbox, &mut other] {
            let before = sandbox.statistics().exits;
            assert_eq!(begin(sandbox, "nested", &(3,)), Step::Return);
            let spans = Spans::of(sandbox);
            assert_eq!(spans.spans.len(), 3, "{spans:#?}");
            assert!(spans.problems.is_empty(), "{spans:#?}");
            assert!(sandbox.statistics().exits - before < 10);
            sandbox.restore(Some(&snapshot)).unwrap();
            assert_eq!(sandbox.take_trace(), []);
        }
    }
}

#[test]
fn spans_of_a_pending_host_call_end_at_the_restore() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = ready("testing");
    let snapshot = sandbox.snapshot().unwrap();
    assert!(matches!(begin(&mut sandbox, "host_in_span", &(7,)), Step::HostCall { .. }));
    let mut entries = sandbox.take_trace();
    let Some(&TraceEntry::HostCall { at: called, .. }) = entries.last() else {
        panic!("the host call is the last of {entries:#?}")
    };
    sandbox.restore(Some(&snapshot)).unwrap();
    entries.extend(sandbox.take_trace());
    let mut spans = Spans::default();
    spans.add(entries);
    assert!(!spans.spans.is_empty());
    for span in &spans.spans {
        let (at, ending) = span.closed.unwrap();
        assert!(at > called, "{span:#?} ends when the host call began, at {called}");
        assert_eq!(ending, 2, "{span:#?}");
    }
}
