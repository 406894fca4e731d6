//! What a column is called that was given no name.
//!
//! Owns these names, which are those of Spark: a conversion of a column keeps the column's name, and any other expression is called as Spark
//! writes it. Knows no plan and no table. Invariant: an expression has one name, whether it is made by a query in SQL or by a DataFrame.

use super::catalog::shown_function;
use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, DataType, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArguments, Subscript, UnaryOperator, Value,
};

/// The name of a column that has this value.
pub fn column_name(expr: &Expr) -> String {
    match expr {
        Expr::Nested(expr) => column_name(expr),
        Expr::Cast { expr, .. } if is_called_as_column(expr) => column_name(expr),
        Expr::Function(call) if ["unnest", "explode"].contains(&function_name(call).as_str()) => {
            "col".to_owned()
        }
        other => shown(other),
    }
}

/// Whether it is a column or a conversion of one, so that its name is that of the column.
pub fn is_called_as_column(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(expr) | Expr::Cast { expr, .. } => is_called_as_column(expr),
        other => matches!(other, Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
    }
}

/// An expression as Spark writes it.
pub fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, |part| part.value.clone()),
        Expr::Nested(expr) => shown(expr),
        Expr::Value(value) => literal(&value.value),
        Expr::UnaryOp { op, expr } => match (op, shown(expr)) {
            (UnaryOperator::Not, of) => format!("(NOT {of})"),
            (UnaryOperator::Minus, of) if matches!(**expr, Expr::Value(_)) => format!("-{of}"),
            (UnaryOperator::Minus, of) => format!("negative({of})"),
            (op, of) => format!("{op}{of}"),
        },
        Expr::BinaryOp { left, op, right } => binary(left, op, right),
        Expr::IsNotDistinctFrom(left, right) => format!("({} <=> {})", shown(left), shown(right)),
        Expr::IsDistinctFrom(left, right) => format!("(NOT ({} <=> {}))", shown(left), shown(right)),
        Expr::IsNull(expr) => format!("({} IS NULL)", shown(expr)),
        Expr::IsNotNull(expr) => format!("({} IS NOT NULL)", shown(expr)),
        Expr::InList { expr, list, negated } => {
            not(*negated, format!("({} IN ({}))", shown(expr), all(list)))
        }
        Expr::Between { expr, negated, low, high } => {
            let of = shown(expr);
            not(*negated, format!("(({of} >= {}) AND ({of} <= {}))", shown(low), shown(high)))
        }
        Expr::Like { negated, expr, pattern, .. } => {
            not(*negated, format!("{} LIKE {}", shown(expr), shown(pattern)))
        }
        Expr::Cast { kind, expr, data_type, .. } => {
            let tries = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
            format!("{}CAST({} AS {data_type})", if tries { "TRY_" } else { "" }, shown(expr))
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            case(operand.as_deref(), conditions, else_result.as_deref())
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            access_chain.iter().fold(shown(root), |of, access| match access {
                AccessExpr::Dot(field) => format!("{of}.{}", shown(field)),
                AccessExpr::Subscript(Subscript::Index { index }) => format!("{of}[{}]", shown(index)),
                AccessExpr::Subscript(slice) => format!("{of}[{slice}]"),
            })
        }
        Expr::Function(call) => function(call),
        other => other.to_string(),
    }
}

fn all<'e>(exprs: impl IntoIterator<Item = &'e Expr>) -> String {
    exprs.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn not(is_negated: bool, of: String) -> String {
    if is_negated { format!("(NOT {of})") } else { of }
}

fn literal(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
        Value::Boolean(value) => value.to_string(),
        other => other.to_string(),
    }
}

fn binary(left: &Expr, op: &BinaryOperator, right: &Expr) -> String {
    // A DataFrame divides numbers of floating point, as Spark does: the conversion is not the user's.
    let left = match (op, left) {
        (BinaryOperator::Divide, Expr::Cast { expr, data_type: DataType::Double(_), .. }) => expr,
        _ => left,
    };
    match op {
        BinaryOperator::NotEq => format!("(NOT ({} = {}))", shown(left), shown(right)),
        BinaryOperator::StringConcat => format!("concat({}, {})", shown(left), shown(right)),
        op => format!("({} {op} {})", shown(left), shown(right)),
    }
}

fn case(operand: Option<&Expr>, conditions: &[CaseWhen], otherwise: Option<&Expr>) -> String {
    let mut parts = vec!["CASE".to_owned()];
    for CaseWhen { condition, result } in conditions {
        let condition = match operand {
            Some(operand) => format!("({} = {})", shown(operand), shown(condition)),
            None => shown(condition),
        };
        parts.push(format!("WHEN {condition} THEN {}", shown(result)));
    }
    parts.extend(otherwise.map(|otherwise| format!("ELSE {}", shown(otherwise))));
    parts.push("END".to_owned());
    parts.join(" ")
}

fn function_name(call: &Function) -> String {
    match call.name.0.as_slice() {
        [part] => part.as_ident().map_or_else(String::new, |name| shown_function(&name.value).to_lowercase()),
        _ => call.name.to_string(),
    }
}

fn function(call: &Function) -> String {
    let name = function_name(call);
    let FunctionArguments::List(list) = &call.args else { return format!("{name}()") };
    let arguments: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    if call.over.is_none()
        && let Some(arguments) = &arguments
        && let Some(name) = of_dataframe(&name, arguments)
    {
        return name;
    }
    let of_each = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => shown(expr),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => "1".to_owned(),
        other => other.to_string(),
    };
    let arguments: Vec<_> = list.args.iter().map(of_each).collect();
    let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let distinct = if is_distinct { "DISTINCT " } else { "" };
    let mut inside = vec![arguments.join(", ")];
    inside.extend(list.clauses.iter().map(ToString::to_string));
    let mut parts = vec![format!("{name}({distinct}{})", inside.join(" "))];
    if !call.within_group.is_empty() {
        let order: Vec<_> = call.within_group.iter().map(ToString::to_string).collect();
        parts.push(format!("WITHIN GROUP (ORDER BY {})", order.join(", ")));
    }
    parts.extend(call.filter.as_ref().map(|filter| format!("FILTER (WHERE {})", shown(filter))));
    parts.extend(call.null_treatment.as_ref().map(ToString::to_string));
    parts.extend(call.over.as_ref().map(|over| format!("OVER {over}")));
    parts.join(" ")
}

/// What the methods of a DataFrame's columns make of other functions, as it is called there.
fn of_dataframe(name: &str, arguments: &[&Expr]) -> Option<String> {
    let text = match (name, arguments) {
        ("get_field", [of, field]) => format!("{}.{}", shown(of), shown(field)),
        ("array_element", [Expr::Function(inner), _]) if function_name(inner) == "map_extract" => {
            return map_entry(inner);
        }
        ("array_element", [of, Expr::BinaryOp { left, op: BinaryOperator::Plus, .. }]) => {
            format!("{}[{}]", shown(of), shown(left))
        }
        ("named_struct", fields) => {
            let values = || fields.iter().skip(1).step_by(2).copied();
            let are_names = fields.iter().step_by(2).zip(values()).all(|(name, of)| shown(name) == shown(of));
            if !are_names {
                return None;
            }
            format!("struct({})", all(values()))
        }
        ("from_json", [of, _]) => format!("from_json({})", shown(of)),
        ("string_to_array", [of, separator]) => format!("split({}, {}, -1)", shown(of), shown(separator)),
        ("make_array", elements) => format!("array({})", all(elements.iter().copied())),
        ("array_length", [of]) => format!("size({})", shown(of)),
        ("character_length", [of]) => format!("length({})", shown(of)),
        ("starts_with", [of, with]) => format!("startswith({}, {})", shown(of), shown(with)),
        ("ends_with", [of, with]) => format!("endswith({}, {})", shown(of), shown(with)),
        _ => return None,
    };
    Some(text)
}

fn map_entry(call: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &call.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(of)), FunctionArg::Unnamed(FunctionArgExpr::Expr(key))] =
        list.args.as_slice()
    else {
        return None;
    };
    Some(format!("{}[{}]", shown(of), shown(key)))
}
