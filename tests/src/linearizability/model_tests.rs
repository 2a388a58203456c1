//! The same verdict as another checker, on small histories of all kinds.

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::{collection, proptest};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::{NotLinearizable, check};
use crate::history::{Action, Answer, Operation};

const STEPS: u64 = 1_000_000;
const CLIENTS: usize = 3;

/// What a key does, as the other checker wants it told.
#[derive(Debug, Clone, Default)]
struct Model(Vec<u8>);

impl SequentialSpec for Model {
    type Op = Action;
    type Ret = Vec<u8>;

    fn invoke(&mut self, action: &Action) -> Vec<u8> {
        match action {
            Action::Get => return self.0.clone(),
            Action::Put(written) => self.0 = written.to_vec(),
            Action::Append(added) => self.0.extend_from_slice(added),
        }
        Vec::new()
    }
}

/// One thing that happens in a history.
#[derive(Debug, Clone)]
enum Happening {
    Sent(usize, Action),
    /// The oldest operation of the client is answered; a get by the text made of these.
    Answered(usize, Vec<u8>),
    /// The client goes away without an answer, and comes back as another one.
    Lost(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let token = || prop_oneof![Just(Bytes::from_static(b"a")), Just(Bytes::from_static(b"b"))];
    let action = prop_oneof![Just(Action::Get), token().prop_map(Action::Put), token().prop_map(Action::Append),];
    let text = collection::vec(prop_oneof![Just(b'a'), Just(b'b')], 0..3);
    prop_oneof![
        4 => (0..CLIENTS, action).prop_map(|(client, action)| Happening::Sent(client, action)),
        4 => (0..CLIENTS, text).prop_map(|(client, text)| Happening::Answered(client, text)),
        1 => (0..CLIENTS).prop_map(Happening::Lost),
    ]
}

/// The history of the happenings that are possible, and the other checker's verdict on it.
fn played(happenings: Vec<Happening>) -> (Vec<Operation>, bool) {
    let mut tester: LinearizabilityTester<u64, Model> = LinearizabilityTester::new(Model::default());
    let mut operations: Vec<Operation> = Vec::new();
    let mut under_way: [Option<usize>; CLIENTS] = [None; CLIENTS];
    let mut names: [u64; CLIENTS] = [0, 1, 2];
    for (moment, happening) in (1..).zip(happenings) {
        match happening {
            Happening::Sent(client, action) if under_way[client].is_none() => {
                let name = names[client];
                tester.on_invoke(name, action.clone()).unwrap();
                under_way[client] = Some(operations.len());
                let key = "k".to_owned();
                operations.push(Operation { client: name, key, action, invoked_at: moment, answer: None });
            }
            Happening::Answered(client, text) => {
                let Some(number) = under_way[client].take() else { continue };
                let value = if operations[number].action == Action::Get { text } else { Vec::new() };
                tester.on_return(names[client], value.clone()).unwrap();
                operations[number].answer = Some(Answer { returned_at: moment, value: value.into() });
            }
            Happening::Lost(client) => {
                if under_way[client].take().is_some() {
                    names[client] += CLIENTS as u64;
                }
            }
            Happening::Sent(..) => {}
        }
    }
    (operations, tester.is_consistent())
}

proptest! {
    #[test]
    fn the_verdict_is_that_of_another_checker(happenings in collection::vec(happening(), 0..14)) {
        let (operations, linearizable) = played(happenings);
        match check(&operations, STEPS) {
            Ok(()) => assert!(linearizable, "{operations:#?}"),
            Err(NotLinearizable::Violation { .. }) => assert!(!linearizable, "{operations:#?}"),
            Err(error @ NotLinearizable::OutOfSteps { .. }) => panic!("{error}"),
        }
    }
}
