//! Services by path for tests: nodes that serve paths, and a record of who was asked what. It must not hide who knows whom.

use std::sync::{Arc, Mutex};

use threadmesh::{
    Answers, HandlerError, Node, Observation, Outgoing, PathPattern, PathTable, Payload, Request,
    SendStrategy, Targets,
};

use super::{eventually, listening};

/// What was asked of whom: `node/path`, in the order in which it came.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: String) {
        self.0.lock().expect("nobody panics while holding it").push(what);
    }

    /// What came since the last look.
    pub(crate) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics while holding it"))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().expect("nobody panics while holding it").len()
    }

    /// What came since the last look, once there is that much. More than that is told, too.
    pub(crate) fn heard(&self, count: usize) -> Vec<String> {
        eventually("so many messages are heard", || self.len() >= count);
        let mut heard = self.taken();
        heard.sort();
        heard
    }
}

/// Each of the paths answers, and notes, with the name of the node and the path.
pub(crate) fn serve(node: &Node, paths: &[&str], log: &Log) {
    for path in paths {
        let (log, id) = (log.clone(), node.id().to_string());
        let answer = move |request: Request<Payload>| {
            let asked = format!("{id}{}", request.event());
            log.note(asked.clone());
            Ok::<_, HandlerError>(asked)
        };
        node.register(*path, answer).expect("a path");
    }
}

/// A node that listens and serves these paths.
pub(crate) fn serving(id: &str, paths: &[&str], log: &Log) -> Node {
    let node = listening(id);
    serve(&node, paths, log);
    node
}

/// The first knows the others, in this order, and they know it.
pub(crate) fn knows(node: &Node, others: &[&Node]) {
    for other in others {
        node.connect(other.local_addr().expect("it listens")).expect("it answers");
        eventually("the other knows it, too", || {
            other.path_table().get(node.id().as_str()).is_some()
        });
    }
}

/// Whether a node knows that another serves something of this.
pub(crate) fn sees(node: &Node, other: &str, pattern: &str) -> bool {
    let pattern = PathPattern::new(pattern).expect("a pattern");
    node.path_table().get(other).is_some_and(|known| known.first_match(&pattern).is_some())
}

/// The known nodes, in their order.
pub(crate) fn order(node: &Node) -> Vec<String> {
    node.path_table().iter().map(|known| known.id().to_string()).collect()
}

/// Each target and its answer or its code, in their order.
pub(crate) fn shown<T: std::fmt::Display>(answers: &Answers<T>) -> Vec<String> {
    let result = |result: &Result<T, threadmesh::Error>| match result {
        Ok(value) => value.to_string(),
        Err(error) => error.code().to_owned(),
    };
    answers.iter().map(|(to, answer)| format!("{to} = {}", result(answer))).collect()
}

/// Any strategy, and what it was told of its calls: the peer, and the code or `ok`.
#[derive(Clone)]
pub(crate) struct Observed<S> {
    strategy: S,
    pub(crate) told: Log,
}

impl<S> Observed<S> {
    pub(crate) fn new(strategy: S) -> Self {
        Self { strategy, told: Log::default() }
    }
}

impl<S: SendStrategy> SendStrategy for Observed<S> {
    fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
        self.strategy.targets(message, nodes)
    }

    fn observe(&self, observation: &Observation<'_>) {
        let end = observation.error.map_or("ok", |error| error.code());
        self.told.note(format!("{} {end}", observation.peer));
        self.strategy.observe(observation);
    }
}
