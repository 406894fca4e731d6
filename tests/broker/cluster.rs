//! Three Kafka nodes that belong to one test, each of them broker and controller: two of the three must run.
//!
//! Owns the nodes. Every topic has three copies, and a write needs two of them. Knows no client. Invariant: nodes
//! keep ids, addresses and data across their restarts.

use crate::kafka::{Kafka, free_port};

pub const IDS: [i32; 3] = [1, 2, 3];

const PROPERTIES: &str = "default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
";

pub struct Cluster(Vec<Kafka>);

impl Cluster {
    /// Starts three empty nodes and waits until they answer.
    pub fn start() -> Cluster {
        let mut last = String::new();
        for _ in 0..5 {
            let ports = IDS.map(|_| (free_port(), free_port()));
            let voter = |(id, (_, controller)): (&i32, &(u16, u16))| format!("{id}@127.0.0.1:{controller}");
            let voters: Vec<String> = IDS.iter().zip(&ports).map(voter).collect();
            let properties = format!("{PROPERTIES}controller.quorum.voters={}\n", voters.join(","));
            let start = |(id, ports): (i32, (u16, u16))| Kafka::start_node(id, ports, &properties);
            let mut nodes: Vec<Kafka> = IDS.into_iter().zip(ports).map(start).collect();
            match nodes.iter_mut().try_for_each(Kafka::wait_until_it_answers) {
                Ok(()) => return Cluster(nodes),
                Err(log) => last = log, // for example another program took a port meanwhile
            }
        }
        panic!("no cluster started; the last node said: {last}");
    }

    /// The addresses of all nodes.
    pub fn bootstrap(&self) -> String {
        self.0.iter().map(Kafka::bootstrap).collect::<Vec<_>>().join(",")
    }

    pub fn node(&mut self, id: i32) -> &mut Kafka {
        &mut self.0[usize::try_from(id - 1).expect("an id from 1 on")]
    }

    /// The id of the active controller: the one with the last epoch.
    pub fn controller(&self) -> i32 {
        let epoch = |log: &str| {
            let said = log.rsplit_once("Becoming the active controller at epoch ")?.1;
            said.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
        };
        let epochs = self.0.iter().zip(IDS).map(|(node, id)| (epoch(&node.log()), id));
        epochs.max().filter(|(epoch, _)| epoch.is_some()).expect("a node is the controller").1
    }
}
