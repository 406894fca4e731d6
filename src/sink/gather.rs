//! Outputs that take the rows of a whole batch, where many tasks, perhaps of several processes, make them: the rows come to one
//! state partition.
//!
//! Owns how an output says what each task sends there, and the operator that passes on what has come. Knows no plan and no
//! output. Invariants: rows stay known by the task that made them; an output is given each batch once, in one process.

use crate::{
    error::Result,
    operator::{
        Context, ExchangeFormat, GatherExchange, NodeId, Operator, Output, Port, Rows, SinglePartition,
    },
    record::{Chunk, Value},
};
use std::sync::Arc;

/// Makes an operator for rows that come to a state partition.
pub type MakeAtHome = Arc<dyn Fn(&SinglePartition) -> Box<dyn Operator> + Send + Sync>;

/// How the rows of a batch come to one task.
#[derive(Clone)]
pub struct Gather {
    /// Makes the exchange: what each task sends.
    pub exchange: MakeAtHome,
    /// What is sent.
    pub format: Arc<dyn ExchangeFormat>,
    /// Makes the operator that takes it.
    pub sink: MakeAtHome,
}

impl Gather {
    /// All rows, as they are.
    #[must_use]
    pub fn rows<T: Value>() -> Self {
        Gather {
            exchange: Arc::new(|home| Box::new(GatherExchange(home.clone()))),
            format: Arc::new(Rows::<T>::default()),
            sink: Arc::new(|_| Box::new(CollectGathered { sees_batches: true })),
        }
    }
}

/// Where an output takes rows.
#[derive(Clone, Default)]
pub enum Intake {
    /// In each task that makes them.
    #[default]
    EachTask,
    /// The same, unless there are state partitions: then in one task.
    Gathered(Gather),
    /// In the task of this state partition.
    At(SinglePartition),
    /// In each task that makes them; what is prepared there is finished together, in one task.
    InShares(Shares),
}

/// Where what the processes have prepared of a batch comes together.
#[derive(Clone)]
pub struct Shares {
    /// The exchange through which the notes come that say what is prepared.
    pub exchange: NodeId,
    /// What takes them.
    pub taken_by: NodeId,
    /// Where that is.
    pub home: SinglePartition,
}

/// The exchange through which notes come. It takes no row: what is prepared is known only once the batch has ended.
pub struct SendNotes;

impl Operator for SendNotes {
    fn process(&mut self, _: Port, _: Chunk, _: &mut Context<'_>) -> Result {
        Ok(())
    }
}

/// Passes what has come from many tasks to the output of its node.
pub struct CollectGathered {
    /// Whether the output depends on where a batch begins and ends.
    pub sees_batches: bool,
}

impl Operator for CollectGathered {
    fn sees_batches(&self) -> bool {
        self.sees_batches
    }

    fn process(&mut self, _: Port, chunk: Chunk, cx: &mut Context<'_>) -> Result {
        let (node, from) = (cx.out.node(), cx.sender.clone());
        cx.out.output(Output::Collected { node, from, chunk });
        Ok(())
    }
}
