//! What a plan knows of its parts: operations and their places, stages, keys, and the edges between stages.

use crate::driver::check;
use expect_test::expect;
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};
use tidegate::{
    BatchTime, Config, DStream, EventWindow, SourceOptions, State, StateSpec, StreamingContext, Text,
    codec::{AsText, Message, Messages, Utf8},
    config::Trigger,
    ml::{StreamingKMeans, Training},
    operator::{EdgeId, NodeId, Operator, Rows, Spread},
    plan::{Factory, Fingerprint, Layout, Node, Operation, Place, Role, Topology},
};

fn plan(build: impl FnOnce(&StreamingContext)) -> Topology {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    build(&ssc);
    ssc.topology()
}

fn pairs(ssc: &StreamingContext, topic: &str) -> DStream<(Text, u64)> {
    ssc.text(topic).map(|line| (line, 1u64))
}

fn edge_names(plan: &Topology) -> Vec<String> {
    Fingerprint::of(plan, 8).edges.into_keys().collect()
}

/// The nodes with an exchange of their own for a text: how a planner builds.
struct Statement {
    plan: Topology,
    last: NodeId,
}

impl Statement {
    fn on(topic: &str) -> Self {
        let mut plan = Topology::default();
        let operation = plan.operation(place());
        let last = plan.add(Node::new(&operation, "source", topic.to_owned(), Role::Operator(spread())));
        Statement { plan, last }
    }

    /// An exchange and what stands behind it.
    fn then(&mut self, kind: &str) -> Operation {
        let operation = self.plan.operation(place());
        let path = self.plan.node(self.last).path.clone();
        let role = Role::Exchange(spread(), Arc::new(Rows::<u64>::default()));
        let exchange = Node::new(&operation, format!("by columns of {kind}"), path.clone(), role);
        let exchange = self.plan.add(exchange.reading([self.last]).laid(Layout::keyed(&operation)));
        let node = Node::new(&operation, kind.to_owned(), format!("{path}.{kind}"), Role::Operator(spread()));
        let layout = self.plan.node(exchange).layout;
        self.last = self.plan.add(node.reading([exchange]).laid(layout));
        operation
    }
}

fn place() -> Place {
    Place::Text { file: "q.sql".into(), line: 3, column: 14 }
}

fn spread() -> Factory {
    Arc::new(|_| Box::new(Spread) as Box<dyn Operator>)
}

#[test]
fn operations_of_one_statement_have_identities_kinds_and_edges_of_their_own() {
    let mut statement = Statement::on("bids");
    let (aggregate, top) = (statement.then("aggregate"), statement.then("top_n"));
    assert_ne!(aggregate.id, top.id);
    assert_eq!((aggregate.place.to_string(), aggregate.place), ("q.sql:3:14".to_owned(), top.place));
    assert_eq!(edge_names(&statement.plan), ["bids.aggregate.exchange", "bids.aggregate.top_n.exchange"]);
    expect![[r#"
        stage 0, one task per source partition
           0  source
           1  by columns of aggregate (bids.aggregate.exchange)  <- 0
        stage 1, one task per state partition
           2  aggregate  <- 1
           3  by columns of top_n (bids.aggregate.top_n.exchange)  <- 2
        stage 2, one task per state partition
           4  top_n  <- 3
    "#]]
    .assert_eq(&statement.plan.to_string());
}

#[test]
fn operations_made_in_a_loop_have_identities_and_edges_of_their_own() {
    let plan = plan(|ssc| {
        let mut numbers = pairs(ssc, "n");
        for _ in 0..3 {
            numbers = numbers.reduce_by_key(|a, b| a + b).map(|(key, n)| (key, n + 1));
        }
        numbers.print();
    });
    assert_eq!(
        edge_names(&plan),
        [
            "n.reduce_by_key.exchange",
            "n.reduce_by_key.reduce_by_key.exchange",
            "n.reduce_by_key.reduce_by_key.reduce_by_key.exchange"
        ]
    );
    let reduced = plan.nodes.iter().filter(|node| node.kind == "reduce_by_key");
    let (places, ids): (Vec<Place>, Vec<_>) =
        reduced.map(|node| (node.operation.place.clone(), node.operation.id)).unzip();
    assert!(places.len() == 3 && places.iter().all(|place| *place == places[0]));
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let plan = self::plan(|ssc| (0..2).fold(ssc.text("n"), |lines, _| lines.repartition(3)).print());
    assert_eq!(
        edge_names(&plan),
        ["n.repartition.repartition.exchange", "n.repartition.repartition.repartition.exchange"]
    );
    plan.validate(Trigger::AsSoonAsPossible).unwrap();
}

#[test]
fn only_edges_that_lead_to_no_state_are_numbered() {
    let plan = plan(|ssc| {
        let pairs = pairs(ssc, "n");
        for _ in 0..3 {
            pairs.reduce_by_key(|a, b| a + b).print();
        }
        pairs.join(&pairs.map_values(|n| n + 1)).print();
        pairs.join(&pairs.map_values(|n| n + 2)).print();
        pairs.reduce_by_key(|a, b| a + b).named("n.running_reduce_by_key").print(); // before the one with state
        pairs.running_reduce_by_key(|a, b| a + b).print();
    });
    let names = edge_names(&plan);
    for name in [
        "n.reduce_by_key.exchange",
        "n.reduce_by_key.exchange.2",
        "n.reduce_by_key.exchange.3",
        "n.running_reduce_by_key.exchange.2",
        "n.running_reduce_by_key.exchange",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert_eq!(names.iter().filter(|name| name.contains(".join")).count(), 4, "{names:?}");
    let (_, state) = plan.iter().find(|(_, node)| !node.stores.is_empty()).unwrap();
    let leads_to_it = |node: &Node| node.is_exchange() && node.operation.id == state.operation.id;
    let (edge, _) = plan.iter().find(|(_, node)| leads_to_it(node)).unwrap();
    assert_eq!(plan.edge_names()[&edge], "n.running_reduce_by_key.exchange");
    plan.validate(Trigger::AsSoonAsPossible).unwrap();
}

#[test]
fn nodes_of_one_operation_share_its_identity() {
    let plan = plan(|ssc| {
        let pairs = pairs(ssc, "p");
        pairs.join(&pairs.map_values(|n| n + 1)).count_by_value().print();
    });
    let ids = |kinds: &[&str]| {
        let of = plan.nodes.iter().filter(|node| kinds.contains(&&*node.kind));
        of.map(|node| node.operation.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&["join"]).len(), 1);
    assert_eq!(ids(&["join", "by_key"]), ids(&["join", "count_by_value"]));
}

#[test]
fn a_plan_whose_branches_meet_again_and_again_is_told_apart_at_once() {
    let plan = plan(|ssc| {
        let mut numbers = ssc.text("n").map(|line| line.len());
        for round in 0..40 {
            let (less, more) = (numbers.map(|n| n / 2), numbers.map(|n| n * 3 + 1));
            numbers = less.union(&more).named(&format!("round {round}"));
        }
        numbers.count().print();
    });
    plan.validate(Trigger::Interval(Duration::from_secs(1))).unwrap();
    let plan = plan.computed();
    assert_eq!((plan.stages(), plan.edges_into(1).count()), (3, 1));
    let in_stage_0 = plan.task_nodes(0, Some(NodeId(0))).len();
    assert_eq!(in_stage_0, plan.nodes.len() - 3, "all but count and what it is printed by");
}

#[test]
fn streams_keyed_by_one_operation_lie_by_one_key() {
    let plan = plan(|ssc| {
        let pairs = pairs(ssc, "p");
        let keyed = pairs.partition_by();
        keyed.map_values(|n| n + 1).join(&keyed.filter(|(_, n)| *n > 0)).print();
        pairs.reduce_by_key(|a, b| a + b).swap().print();
    });
    let layout = |kind: &str| plan.nodes.iter().find(|node| node.kind == kind).unwrap().layout;
    let keyed = layout("partition_by");
    assert!(keyed.is_keyed());
    assert_eq!([layout("map_values"), layout("filter"), layout("join")], [keyed; 3]);
    assert!(layout("reduce_by_key").is_keyed());
    assert_ne!(layout("reduce_by_key"), keyed, "moved by another operation");
    assert_eq!(layout("swap"), Layout::Any);
    assert_eq!(plan.nodes.iter().filter(|node| node.is_exchange()).count(), 2, "the join needs none");
}

/// Edges with who reads them: stage, node and port.
fn edges(plan: &Topology) -> String {
    let mut out = String::new();
    for stage in 1..plan.stages() {
        for (id, edge) in plan.edges_into(stage) {
            assert_eq!(id, EdgeId::of(&edge.name));
            let kind = |node: NodeId| &plan.node(node).kind;
            let readers = edge.readers.iter().filter(|reader| reader.stage == stage);
            let readers: Vec<String> =
                readers.map(|reader| format!("{} {}", kind(reader.node), reader.port.0)).collect();
            let (from, name) = (kind(edge.from.node), &edge.name);
            writeln!(out, "{} -> {stage}  {name}: {from} -> {}", edge.stage, readers.join(", ")).unwrap();
        }
    }
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

#[test]
fn an_edge_leads_to_all_its_readers_also_past_a_stage() {
    let build = |ssc: &StreamingContext| {
        let pairs = ssc.text("p").map(|line| (line, 1u64));
        let keyed = pairs.partition_by();
        let sums = keyed.reduce_by_key(|a, b| a + b);
        let texts = sums.map(|(key, n)| (Text::from(format!("{key}{n}")), n)).partition_by();
        // Rows of stages 0 and 1 meet those of stage 2.
        keyed.union(&texts).to_kafka("out", Utf8, AsText);
        sums.union(&texts).map_values(|n| n * 10).to_kafka("out", Utf8, AsText);
    };
    expect![[r#"
        0 -> 1  p.partition_by.partition_by.exchange: partition_by -> reduce_by_key 0
        0 -> 2  p.partition_by.partition_by.exchange: partition_by -> union 0
        1 -> 2  p.partition_by.reduce_by_key.carried-1: reduce_by_key -> union 0
        1 -> 2  p.partition_by.reduce_by_key.partition_by.partition_by.exchange: partition_by -> union 1, union 1
    "#]].assert_eq(&edges(&plan(build).computed()));
    check(
        build,
        "p 0 | - | a\np 1 | - | a\n",
        &expect![[r#"
        out | a | 1
        out | a | 1
        out | a | 20
        out | a2 | 2
        out | a2 | 20
    "#]],
    );
}

#[test]
fn two_edges_of_one_id_are_refused() {
    let mut seen: HashMap<EdgeId, u32> = HashMap::new();
    let edge = |n: u32| EdgeId::of(&format!("n{n}.exchange"));
    let (n, other) = (0..).find_map(|n| Some((n, seen.insert(edge(n), n)?))).unwrap();
    let plan = plan(|ssc| {
        let pairs = pairs(ssc, "p");
        for name in [other, n] {
            pairs.reduce_by_key(|a, b| a + b).named(&format!("n{name}")).print();
        }
    });
    let refused = plan.validate(Trigger::AsSoonAsPossible).unwrap_err().to_string();
    let expected = format!("the exchanges `n{n}.exchange` and `n{other}.exchange` have the same short id");
    assert!(refused.contains(&expected) && refused.contains("tests/it/plan.rs:"), "{refused}");
}

fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn operations_within_a_batch(ssc: &StreamingContext) {
    pairs(ssc, "01").partition_by().print();
    pairs(ssc, "02").reduce_by_key(add).print();
    pairs(ssc, "03").running_reduce_by_key(add).print();
    pairs(ssc, "04").update_state_by_key(|_, state: Option<u64>| state).print();
    let last = |_: BatchTime, _: &Text, n: Option<u64>, state: &mut State<u64>| {
        state.update(n?);
        n
    };
    let mapped = pairs(ssc, "05").map_with_state(StateSpec::function(last));
    mapped.state_snapshots().print();
    mapped.print();
    pairs(ssc, "06").combine_by_key(|n| n, add, add).print();
    pairs(ssc, "07").aggregate_by_key(0, add, add).print();
    pairs(ssc, "08").group_by_key().print();
    pairs(ssc, "09").join(&pairs(ssc, "10")).print();
    pairs(ssc, "11").full_outer_join(&pairs(ssc, "12").reduce_by_key(add)).print();
    pairs(ssc, "13").cogroup3(&pairs(ssc, "14"), &pairs(ssc, "15")).print();
    ssc.text("16").repartition(3).print();
    ssc.text("17").count().print();
    ssc.text("18").reduce(Text::max).print();
    ssc.text("19").count_by_value().print();
    ssc.text("20").transform(|rows, _| rows).print();
    ssc.text("21").transform_with(&ssc.text("22"), |a, _: Vec<Text>, _| a).print();
    ssc.text("23").union(&ssc.text("24").count().map(|n| n.to_string().into())).print();
}

fn windows_and_models(ssc: &StreamingContext) {
    let second = Duration::from_secs(1);
    ssc.text("25").window(second).print();
    ssc.text("26").count_by_window(second, second).print();
    ssc.text("27").reduce_by_window(Text::max, second, second).print();
    let lengths = ssc.text("28").map(|line| line.len());
    lengths.reduce_by_window_inverse(|a, b| a + b, |a, b| a - b, second, second).print();
    ssc.text("29").count_by_value_and_window(second, second).print();
    pairs(ssc, "30").reduce_by_key_and_window(add, second, second).print();
    pairs(ssc, "31").reduce_by_key_and_window_inverse(add, |a, b| a - b, second, second).print();
    pairs(ssc, "32").group_by_key_and_window(second, second).print();
    let messages = ssc.source::<Message<String>>(SourceOptions::topic("33"), Messages(Utf8));
    messages.count_by_key_and_event_window(EventWindow::tumbling(second), |m| m.value).print();
    let points = ssc.text("34").map(|line| vec![f64::from(u8::from(line.is_empty()))]);
    let model = StreamingKMeans::with_random_centers(2, 1, 0.0, 42).train_on(&points);
    let vectors = ssc.text("35").map(|line| vec![f64::from(u8::from(line.is_empty()))]);
    model.predict_on(&vectors).print();
    model.predict_on_values(&vectors.map(|v| (1u8, v))).print();
    let _ = model.latest();
    let ones = pairs(ssc, "36").partition_by().map_values(|n| n + 1).running_reduce_by_key(add);
    ones.map_values(|n| n * 2).filter(|_| true).reduce_by_key(add).swap().reduce_by_key(|a, _| a).print();
}

#[test]
fn every_operation_names_its_edges_as_ever() {
    let plan = plan(|ssc| {
        operations_within_a_batch(ssc);
        windows_and_models(ssc);
    });
    expect![[r#"
        01.partition_by.partition_by.exchange
        02.reduce_by_key.exchange
        03.running_reduce_by_key.exchange
        04.update_state_by_key.exchange
        05.map_with_state.exchange
        06.combine_by_key.exchange
        07.aggregate_by_key.exchange
        08.group_by_key.exchange
        09*10.join.exchange-0
        09*10.join.exchange-1
        11*12.reduce_by_key.full_outer_join.exchange-0
        12.reduce_by_key.exchange
        13*14*15.cogroup3.exchange-0
        13*14*15.cogroup3.exchange-1
        13*14*15.cogroup3.exchange-2
        16.repartition.repartition.exchange
        17.count.exchange
        18.reduce.exchange
        19.count_by_value.exchange
        20.transform.exchange
        21*22.transform_with.exchange-0
        21*22.transform_with.exchange-1
        23+24.count.exchange-0
        24.count.exchange
        25.window.exchange
        26.count_by_window.exchange
        27.reduce_by_window.exchange
        28.reduce_by_window_inverse.exchange
        29.count_by_value_and_window.exchange
        30.reduce_by_key_and_window.exchange
        31.reduce_by_key_and_window_inverse.exchange
        32.group_by_key_and_window.exchange
        33.count_by_key_and_event_window.exchange
        34.model.exchange
        34.model.predict_on.predict_on(35).exchange-0
        34.model.predict_on.predict_on(35).exchange-1
        34.model.predict_on_values.predict_on_values(35).exchange-0
        34.model.predict_on_values.predict_on_values(35).exchange-1
        36.partition_by.partition_by.exchange
        36.partition_by.running_reduce_by_key.reduce_by_key.reduce_by_key.exchange
    "#]]
    .assert_eq(&(edge_names(&plan).join("\n") + "\n"));
}
