//! What four tricks of the hot path are worth: this program is built once with all of them and once without each, and the builds are
//! measured in turn. `cargo bench --bench ablations [-- --quick]`. The switches are the `cfg!`s of `src/config.rs`.

mod common;

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::mesh::{self, stream, tick, ticks};
use common::{Server, median, round_trips};
use threadmesh::Bytes;

/// What is left out, and what that is.
const VARIANTS: [(&str, &str); 5] = [
    ("", "everything"),
    ("yield", "no looking and yielding before parking"),
    ("bursts", "one command a turn, one message a hand-over"),
    ("gather", "one write a message"),
    ("unlocked_wakes", "workers woken under the pool's lock"),
];
const BYTES: usize = 64;
const BATCH: usize = 64;

fn main() {
    let has = |wanted: &str| env::args().any(|argument| argument == wanted);
    if has("--probe") {
        probe(Duration::from_millis(if has("--quick") { 100 } else { 250 }));
    } else if has("--serve") {
        mesh::serve();
    } else {
        compare(if has("--quick") { 3 } else { 7 }, has("--quick"));
    }
}

/// One build measures itself: a line for each figure.
fn probe(each: Duration) {
    let server = Server::start("mesh");
    let node = &mesh::client(&server.address);
    let data = &Bytes::from(vec![7; BYTES]);
    let per_second = |(count, took): (u64, Duration)| count as f64 / took.as_secs_f64() / 1e3;
    let one_tick = || (0..BATCH).map(|_| tick(node, "count", data)).sum();
    println!("W1 round trip, µs|{}", round_trips(each, || mesh::echo(node, data)));
    for many in [8, 64, 256] {
        let rate = mesh::threads(node, BYTES, many, each);
        println!("W2 {many} threads, k/s|{rate}");
    }
    println!("W2 64 outstanding, k/s|{}", mesh::window(node, BYTES, 64, each));
    println!("W3 one tick a call, k/s|{}", per_second(stream(node, each, |_| one_tick())));
    let many_ticks = stream(node, each, |node| ticks(node, data, BATCH));
    println!("W3 {BATCH} ticks a call, k/s|{}", per_second(many_ticks));
}

/// Builds all variants, measures them in turn, and prints how many times better each figure is with the trick than without it.
fn compare(rounds: usize, quick: bool) {
    let programs = VARIANTS.map(|(without, _)| build(without));
    let mut figures: BTreeMap<String, [Vec<f64>; VARIANTS.len()]> = BTreeMap::new();
    for _ in 0..rounds {
        for (index, program) in programs.iter().enumerate() {
            for (name, figure) in run(program, quick) {
                figures.entry(name).or_default()[index].push(figure);
            }
        }
    }
    println!(
        "\n64 B, medians of {rounds} rounds; in brackets, how many times better with than without:\n"
    );
    for (name, variants) in &mut figures {
        println!("{name}");
        let with = variants[0].clone();
        for ((without, what), figures) in VARIANTS.iter().zip(variants) {
            // Of the same round, because the machine's other work comes and goes.
            let mut gains: Vec<f64> = with.iter().zip(&*figures).map(|(a, b)| a / b).collect();
            let gain = median(&mut gains);
            let gain = if name.ends_with("µs") { 1.0 / gain } else { gain };
            let gain = if without.is_empty() { String::new() } else { format!("({gain:.2} x)") };
            println!("    {what:46} {:>10.1}  {gain}", median(figures));
        }
    }
}

/// Builds this program without one of the tricks, in a folder of its own, and returns its path.
fn build(without: &str) -> String {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let folder = if without.is_empty() { "everything" } else { without };
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ablations/");
    let mut command = Command::new(cargo);
    command.args(["bench", "--no-run", "--bench", "ablations", "--message-format", "json"]);
    command.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    command.args(["--target-dir", &format!("{target}{folder}")]);
    if !without.is_empty() {
        command.env("RUSTFLAGS", format!("--cfg threadmesh_without=\"{without}\""));
    }
    let built = command.stderr(Stdio::inherit()).output().expect("cargo can be started");
    assert!(built.status.success(), "the build without {without:?} failed");
    let told = String::from_utf8(built.stdout).expect("JSON is UTF-8");
    let at = told.rsplit_once("\"executable\":\"").expect("cargo names the program").1;
    at.split('"').next().expect("a text has a first part").to_owned()
}

fn run(program: &str, quick: bool) -> Vec<(String, f64)> {
    let quick: &[&str] = if quick { &["--quick"] } else { &[] };
    let ran = Command::new(program).arg("--probe").args(quick).stderr(Stdio::inherit()).output();
    let told = String::from_utf8(ran.expect("it was built").stdout).expect("it prints text");
    let figure = |line: &str| {
        let (name, figure) = line.split_once('|')?;
        Some((name.to_owned(), figure.parse().ok()?))
    };
    told.lines().filter_map(figure).collect()
}
