//! What is refused before anything runs, because no field could make sense of it.

use async_graphql::{
    Variables,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};
use async_graphql_value::{ConstValue, Value};

/// Where a NUL stands in a document's arguments or its variables, as the path of an argument or a variable.
///
/// PostgreSQL's text cannot hold a NUL, so none is let in anywhere: one rule here instead of one in each resolver.
pub fn find_nul(document: &ExecutableDocument, variables: &Variables) -> Option<String> {
    let in_variables = variables.iter().find_map(|(name, value)| in_const(value).map(|path| format!("${name}{path}")));
    in_variables.or_else(|| {
        let operations = document.operations.iter().map(|(_, it)| &it.node);
        operations
            .map(in_operation)
            .chain(document.fragments.values().map(|it| in_selections(&it.node.selection_set.node)))
            .find_map(|it| it)
    })
}

/// The first variable that the operation requires and the request lacks, as `$name`.
pub fn find_missing(operation: &OperationDefinition, variables: &Variables) -> Option<String> {
    let required = operation.variable_definitions.iter().map(|it| &it.node);
    required
        .filter(|it| !it.var_type.node.nullable && it.default_value.is_none())
        .find(|it| matches!(variables.get(&it.name.node), None | Some(ConstValue::Null)))
        .map(|it| format!("${}", it.name.node))
}

fn in_operation(operation: &OperationDefinition) -> Option<String> {
    let defaults = operation.variable_definitions.iter().find_map(|it| {
        let value = it.node.default_value.as_ref()?;
        in_const(&value.node).map(|path| format!("${}{path}", it.node.name.node))
    });
    defaults.or_else(|| in_selections(&operation.selection_set.node))
}

fn in_selections(selections: &SelectionSet) -> Option<String> {
    selections.items.iter().find_map(|selection| match &selection.node {
        Selection::Field(field) => {
            let field = &field.node;
            let arguments = field.arguments.iter().chain(field.directives.iter().flat_map(|it| &it.node.arguments));
            let found = arguments
                .into_iter()
                .find_map(|(name, value)| in_value(&value.node).map(|path| format!("{}{path}", name.node)));
            found.or_else(|| in_selections(&field.selection_set.node))
        }
        Selection::InlineFragment(fragment) => in_selections(&fragment.node.selection_set.node),
        Selection::FragmentSpread(_) => None,
    })
}

fn in_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::List(items) => {
            items.iter().enumerate().find_map(|(at, it)| in_value(it).map(|path| format!(".{at}{path}")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, it)| in_value(it).map(|path| format!(".{name}{path}"))),
        _ => None,
    }
}

fn in_const(value: &ConstValue) -> Option<String> {
    in_value(&value.clone().into_value())
}
