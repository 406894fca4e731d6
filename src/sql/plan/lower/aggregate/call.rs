//! What a call of an aggregate reads, and what it says besides.
//!
//! Owns the way from a planned call to one that an operator computes. Knows no function's code. Invariants: the columns that values are
//! ordered by come last among the arguments; constants are no arguments; a call is called after what it says in SQL.

use super::{Lower, Needed, Relation};
use crate::sql::{
    SqlError, SqlResult,
    agg::{AggregateCall, AggregateFunction, CallDetails, Direction, Parameter},
    plan::{
        explain::call_text,
        lower::below::unalias,
        place::{find_call, place_of_query},
        types::plain,
    },
};
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::ScalarValue;
use datafusion_expr::{
    Expr,
    expr::{AggregateFunction as PlanAggregate, NullTreatment, Sort},
};

impl Lower<'_> {
    pub(super) fn call(
        &self,
        call: &PlanAggregate,
        field: &FieldRef,
        input: &Relation,
        needed: &mut Needed,
    ) -> SqlResult<AggregateCall> {
        let (name, params) = (call.func.name(), &call.params);
        let Some(function) = self.catalog.functions().durable(name) else {
            return Err(self.refused(&format!("the aggregate `{name}` is not supported")));
        };
        let (values, order, constants) = self.parts(function, call)?;
        let details = self.details(function, call, &order)?;
        let mut add = |expr: &Expr| -> SqlResult<usize> {
            let physical = self.physical(unalias(expr), input)?;
            let (data_type, is_nullable) = self.type_of(&physical, input)?;
            Ok(needed.add(physical, data_type, is_nullable))
        };
        let values = values.iter().map(&mut add).collect::<SqlResult<Vec<_>>>()?;
        let ordered = order.iter().map(|sort| add(&sort.expr)).collect::<SqlResult<Vec<_>>>()?;
        let filter = params.filter.as_deref().map(&mut add).transpose()?;
        let name_of = |slot: &usize| needed.columns[*slot].1.name().as_str();
        // Which of equal rows it is makes no difference.
        let is_distinct = is_distinct(call) && !function.is_of_one_row();
        let shown: Vec<String> =
            values.iter().map(|slot| name_of(slot).to_owned()).chain(constants).collect();
        let text = details.in_sql(&shown, &ordered.iter().map(name_of).collect::<Vec<_>>());
        let words = (!text.is_empty()).then_some(text.as_str());
        let text = call_text(function, is_distinct, words.into_iter(), None);
        let is_ignoring = details.ignores_nulls && params.null_treatment.is_some();
        let ignoring = if is_ignoring { " IGNORE NULLS" } else { "" };
        let filtered =
            filter.as_ref().map_or_else(String::new, |at| format!(" FILTER (WHERE {})", name_of(at)));
        Ok(AggregateCall {
            function,
            arguments: values.into_iter().chain(ordered).collect(),
            filter,
            is_distinct,
            data_type: plain(field.data_type()),
            name: text + ignoring + &filtered,
            details,
        })
    }

    /// The values that a call reads, the order that it has, and its constants as they are shown.
    fn parts<'c>(
        &self,
        function: AggregateFunction,
        call: &'c PlanAggregate,
    ) -> SqlResult<(&'c [Expr], Vec<&'c Sort>, Vec<String>)> {
        use AggregateFunction::{ArrayAgg, CollectList, Count, PercentileCont, PercentileDisc, StringAgg};
        let (args, params) = (&call.params.args[..], &call.params);
        let order: Vec<&Sort> = params.order_by.iter().collect();
        let is_literal = |arg: &Expr| matches!(unalias(arg), Expr::Literal(value, _) if !value.is_null());
        match function {
            Count if !params.distinct && args.iter().all(is_literal) => Ok((&args[..0], vec![], vec![])),
            PercentileCont | PercentileDisc => {
                // What is ordered is the value itself: up needs no word.
                let order =
                    order.into_iter().filter(|sort| function == PercentileDisc && !sort.asc).collect();
                Ok((&args[..1], order, args.get(1).map(shown).into_iter().collect()))
            }
            StringAgg => {
                self.check_distinct(call, &order)?;
                Ok((&args[..1], order, args.get(1).map(shown).into_iter().collect()))
            }
            ArrayAgg | CollectList => {
                self.check_distinct(call, &order)?;
                Ok((args, order, vec![]))
            }
            _ if function.is_of_one_row() => Ok((args, order, vec![])),
            _ => Ok((args, vec![], vec![])),
        }
    }

    /// Different values have no order but their own.
    fn check_distinct(&self, call: &PlanAggregate, order: &[&Sort]) -> SqlResult {
        let of = call.params.args.first().map(unalias);
        let is_other = |sort: &&Sort| Some(unalias(&sort.expr)) != of;
        if !is_distinct(call) || !order.iter().any(is_other) {
            return Ok(());
        }
        Err(self
            .call_mistake(call, "orders different values by something else")
            .because("a value that is there several times has several places in such an order")
            .next("order by the value itself, or leave DISTINCT or ORDER BY out"))
    }

    fn details(
        &self,
        function: AggregateFunction,
        call: &PlanAggregate,
        order: &[&Sort],
    ) -> SqlResult<CallDetails> {
        use AggregateFunction::{CollectList, PercentileCont, PercentileDisc, StringAgg};
        let direction = |sort: &&Sort| Direction {
            is_descending: !sort.asc,
            is_null_greatest: sort.nulls_first != sort.asc,
        };
        let is_ignoring = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
        let parameter = match function {
            StringAgg => Parameter::Separator(self.separator(call)?.into()),
            PercentileCont | PercentileDisc => {
                let fraction = self.fraction(call)?;
                let is_descending = call.params.order_by.first().is_some_and(|sort| !sort.asc);
                let is_mirrored = function == PercentileCont && is_descending;
                Parameter::Fraction(if is_mirrored { 1.0 - fraction } else { fraction }.to_bits())
            }
            _ => Parameter::None,
        };
        Ok(CallDetails {
            order: order.iter().map(direction).collect(),
            ignores_nulls: function.is_ordered() && is_ignoring
                || matches!(function, CollectList | StringAgg)
                || call.func.name() == "any_value",
            parameter,
        })
    }

    /// What stands between texts.
    fn separator(&self, call: &PlanAggregate) -> SqlResult<String> {
        match call.params.args.get(1).and_then(constant) {
            Some(value) if value.is_null() => Ok(String::new()),
            Some(value) => match value.try_as_str() {
                Some(Some(text)) => Ok(text.to_owned()),
                _ => Err(self
                    .call_mistake(call, "has a separator that is no text")
                    .next("write string_agg(x, ', ')")),
            },
            None => Err(self
                .call_mistake(call, "has a separator that is another one in each row")
                .next("write a text: string_agg(x, ', ')")),
        }
    }

    /// A part of the values.
    fn fraction(&self, call: &PlanAggregate) -> SqlResult<f64> {
        let value = call.params.args.get(1).and_then(constant);
        let number = value.and_then(|value| value.cast_to(&DataType::Float64).ok());
        match number {
            Some(ScalarValue::Float64(Some(number))) if (0.0..=1.0).contains(&number) => Ok(number),
            _ => Err(self
                .call_mistake(call, "takes a number from 0 to 1")
                .next("write percentile_cont(0.9) WITHIN GROUP (ORDER BY x), or percentile(x, 0.9)")),
        }
    }

    fn call_mistake(&self, call: &PlanAggregate, what: &str) -> SqlError {
        let functions = self.catalog.functions();
        let is_called =
            |name: &str| functions.aggregate(name).is_some_and(|of| of.name() == call.func.name());
        let (name, place) = find_call(self.query, is_called).map_or_else(
            || (call.func.name().to_owned(), place_of_query(self.query)),
            |(name, at)| (name, Some(at)),
        );
        SqlError::at(place, format!("`{name}` {what}"))
    }
}

/// Whether equal values count once.
fn is_distinct(call: &PlanAggregate) -> bool {
    call.params.distinct || call.func.name() == "collect_set"
}

/// A constant, also one of another type.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    match unalias(expr) {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => constant(&cast.expr),
        _ => None,
    }
}

/// A constant as it stands in SQL.
fn shown(expr: &Expr) -> String {
    match constant(expr) {
        Some(value) if value.is_null() => "NULL".to_owned(),
        Some(value) => match value.try_as_str() {
            Some(Some(text)) => format!("'{}'", text.replace('\'', "''")),
            _ => value.to_string(),
        },
        None => expr.to_string(),
    }
}
