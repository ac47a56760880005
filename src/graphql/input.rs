//! Checks and corrections of requests before anything runs, for inputs that no field could handle.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Variables,
    parser::types::{
        DocumentOperations, ExecutableDocument, OperationDefinition, Selection, SelectionSet, VariableDefinition,
    },
};
use async_graphql_value::{ConstValue, Number, Value};

/// A value that no argument accepts: the path of the argument or variable, and what is wrong with it.
pub type Unfit = (String, &'static str);

/// The first value in a document's arguments that no argument accepts: a string with a NUL character, which
/// PostgreSQL cannot store, or an integer of more than 32 bits, which GraphQL does not have. One rule here replaces
/// one in each resolver.
pub fn find_unfit(document: &ExecutableDocument) -> Option<Unfit> {
    let operations = document.operations.iter().map(|(_, it)| in_operation(&it.node));
    let fragments = document.fragments.values().map(|it| in_selections(&it.node.selection_set.node));
    operations.chain(fragments).find_map(|it| it)
}

/// The same for the variables of a request.
pub fn find_unfit_variable(variables: &Variables) -> Option<Unfit> {
    variables.iter().find_map(|(name, value)| below(format_args!("${name}"), in_const(value)))
}

fn below(name: impl std::fmt::Display, found: Option<Unfit>) -> Option<Unfit> {
    found.map(|(path, message)| (format!("{name}{path}"), message))
}

/// Gives the variables that the request omits their defaults.
pub fn fill_defaults(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in operation.variable_definitions.iter().map(|it| &it.node) {
        if let Some(default) = &definition.default_value
            && !variables.contains_key(&definition.name.node)
        {
            variables.insert(definition.name.node.clone(), default.node.clone());
        }
    }
}

/// The first variable that the operation requires and the request does not send, as `$name`.
pub fn find_missing(operation: &OperationDefinition, variables: &Variables) -> Option<String> {
    let required = operation.variable_definitions.iter().map(|it| &it.node);
    required
        .filter(|it| !it.var_type.node.nullable && it.default_value.is_none())
        .find(|it| matches!(variables.get(&it.name.node), None | Some(ConstValue::Null)))
        .map(|it| format!("${}", it.name.node))
}

/// The number of selections of a document with its fragments expanded, up to `usize::MAX`. Each fragment is counted
/// once and reused: a fragment that spreads the next one twice doubles the number at every step, and with it the work
/// of walking the document. A fragment that spreads itself counts as infinite.
pub fn expanded_size(document: &ExecutableDocument) -> usize {
    let mut known = HashMap::new();
    let operations = document.operations.iter();
    operations.map(|(_, it)| expanded(&it.node.selection_set.node, document, &mut known)).fold(0, usize::saturating_add)
}

fn expanded<'a>(
    selections: &'a SelectionSet,
    document: &'a ExecutableDocument,
    known: &mut HashMap<&'a str, usize>,
) -> usize {
    let sizes = selections.items.iter().map(|selection| match &selection.node {
        Selection::Field(field) => expanded(&field.node.selection_set.node, document, known),
        Selection::InlineFragment(fragment) => expanded(&fragment.node.selection_set.node, document, known),
        Selection::FragmentSpread(spread) => {
            let name = spread.node.fragment_name.node.as_str();
            if let Some(size) = known.get(name) {
                return *size;
            }
            let Some(fragment) = document.fragments.get(name) else { return 1 };
            known.insert(name, usize::MAX); // Until it is known: a fragment that spreads itself is infinite.
            let size = expanded(&fragment.node.selection_set.node, document, known);
            known.insert(name, size);
            size
        }
    });
    sizes.map(|size| size.saturating_add(1)).fold(0, usize::saturating_add)
}

/// The number of aliases in a document; each fragment counts once.
pub fn count_aliases(document: &ExecutableDocument) -> usize {
    fn within(selections: &SelectionSet) -> usize {
        let counts = selections.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => usize::from(field.node.alias.is_some()) + within(&field.node.selection_set.node),
            Selection::InlineFragment(fragment) => within(&fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => 0,
        });
        counts.sum()
    }
    selection_sets(document).map(within).sum()
}

/// The longest alias of a document, in bytes.
pub fn longest_alias(document: &ExecutableDocument) -> usize {
    fn within(selections: &SelectionSet) -> usize {
        let lengths = selections.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => {
                let own = field.node.alias.as_ref().map_or(0, |it| it.node.len());
                own.max(within(&field.node.selection_set.node))
            }
            Selection::InlineFragment(fragment) => within(&fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => 0,
        });
        lengths.max().unwrap_or(0)
    }
    selection_sets(document).map(within).max().unwrap_or(0)
}

/// Introspection fields that return lists of types or fields, which can be nested again.
const INTROSPECTED_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// How deeply a document nests introspection lists, with its fragments expanded. Call it only for a document whose
/// [`expanded_size`] is known to be small.
pub fn deepest_introspection(document: &ExecutableDocument) -> usize {
    walk_introspection(document, |below| {
        fn lists(selections: &SelectionSet, document: &ExecutableDocument) -> usize {
            let depths = selections.items.iter().map(|selection| match &selection.node {
                Selection::Field(field) => {
                    let own = INTROSPECTED_LISTS.contains(&field.node.name.node.as_str());
                    usize::from(own) + lists(&field.node.selection_set.node, document)
                }
                Selection::InlineFragment(fragment) => lists(&fragment.node.selection_set.node, document),
                Selection::FragmentSpread(spread) => {
                    let fragment = document.fragments.get(&spread.node.fragment_name.node);
                    fragment.map_or(0, |it| lists(&it.node.selection_set.node, document))
                }
            });
            depths.max().unwrap_or(0)
        }
        lists(below, document)
    })
    .into_iter()
    .max()
    .unwrap_or(0)
}

/// The number of introspection fields of a document. Call it only for a document whose [`expanded_size`] is known to
/// be small.
pub fn introspected_fields(document: &ExecutableDocument) -> usize {
    fn count(selections: &SelectionSet, document: &ExecutableDocument) -> usize {
        let counts = selections.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => 1 + count(&field.node.selection_set.node, document),
            Selection::InlineFragment(fragment) => count(&fragment.node.selection_set.node, document),
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |it| count(&it.node.selection_set.node, document))
            }
        });
        counts.sum()
    }
    walk_introspection(document, |below| count(below, document)).into_iter().sum()
}

/// Applies `look` to the selections below each `__schema` and `__type`.
fn walk_introspection<T>(document: &ExecutableDocument, mut look: impl FnMut(&SelectionSet) -> T) -> Vec<T> {
    fn within<T>(selections: &SelectionSet, look: &mut impl FnMut(&SelectionSet) -> T, found: &mut Vec<T>) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) if matches!(field.node.name.node.as_str(), "__schema" | "__type") => {
                    found.push(look(&field.node.selection_set.node));
                }
                Selection::Field(field) => within(&field.node.selection_set.node, look, found),
                Selection::InlineFragment(fragment) => within(&fragment.node.selection_set.node, look, found),
                Selection::FragmentSpread(_) => {} // Every fragment is visited where it is defined.
            }
        }
    }
    let mut found = Vec::new();
    selection_sets(document).for_each(|it| within(it, &mut look, &mut found));
    found
}

/// The selections of every operation and fragment.
fn selection_sets(document: &ExecutableDocument) -> impl Iterator<Item = &SelectionSet> {
    let operations = document.operations.iter().map(|(_, it)| &it.node.selection_set.node);
    operations.chain(document.fragments.values().map(|it| &it.node.selection_set.node))
}

/// The names of all root fields of all operations, with fragments expanded. Call it only for a document whose
/// [`expanded_size`] is known to be small.
pub fn root_fields(document: &ExecutableDocument) -> Vec<&str> {
    fn within<'a>(selections: &'a SelectionSet, document: &'a ExecutableDocument, found: &mut Vec<&'a str>) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => found.push(field.node.name.node.as_str()),
                Selection::InlineFragment(fragment) => within(&fragment.node.selection_set.node, document, found),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        within(&fragment.node.selection_set.node, document, found);
                    }
                }
            }
        }
    }
    let mut found = Vec::new();
    document.operations.iter().for_each(|(_, it)| within(&it.node.selection_set.node, document, &mut found));
    found
}

/// The operation of a document with a single operation; `None` otherwise.
pub fn only_operation(document: &ExecutableDocument) -> Option<&OperationDefinition> {
    let mut operations = document.operations.iter();
    let (_, operation) = operations.next().filter(|_| operations.next().is_none())?;
    Some(&operation.node)
}

/// Whether a document loads one object by its id, with no other arguments.
pub fn is_look_up(document: &ExecutableDocument) -> bool {
    let Some(operation) = only_operation(document) else { return false };
    let [selection] = operation.selection_set.node.items.as_slice() else { return false };
    let Selection::Field(field) = &selection.node else { return false };
    matches!(field.node.arguments.as_slice(), [(name, _)] if name.node == "id")
}

/// The number of root fields of the widest operation, with fragments expanded. Call it only for a document whose
/// [`expanded_size`] is known to be small.
pub fn most_root_fields(document: &ExecutableDocument) -> usize {
    fn within(selections: &SelectionSet, document: &ExecutableDocument) -> usize {
        let counts = selections.items.iter().map(|selection| match &selection.node {
            Selection::Field(_) => 1,
            Selection::InlineFragment(fragment) => within(&fragment.node.selection_set.node, document),
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |it| within(&it.node.selection_set.node, document))
            }
        });
        counts.sum()
    }
    let operations = document.operations.iter().map(|(_, it)| within(&it.node.selection_set.node, document));
    operations.max().unwrap_or(0)
}

/// The name of the root field behind a key of the response, in the operation that ran.
pub fn root_field_of<'a>(document: &'a ExecutableDocument, operation: Option<&str>, key: &str) -> Option<&'a str> {
    fn within<'a>(selections: &'a SelectionSet, document: &'a ExecutableDocument, key: &str) -> Option<&'a str> {
        selections.items.iter().find_map(|selection| match &selection.node {
            Selection::Field(field) => (field.node.response_key().node == key).then(|| field.node.name.node.as_str()),
            Selection::InlineFragment(fragment) => within(&fragment.node.selection_set.node, document, key),
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
                within(&fragment.node.selection_set.node, document, key)
            }
        })
    }
    let mut operations = document.operations.iter();
    let (_, ran) = match operation {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|it| it.as_str() == wanted))?,
        None => operations.next()?,
    };
    within(&ran.node.selection_set.node, document, key)
}

/// A document without the arguments and fields whose variables the request omits; `None` when it sends all of them.
/// The specification treats an omitted variable as an omitted argument or field (section 6.4.1). async-graphql does
/// so only during execution, and skips the validation of the whole argument before that.
///
/// Documents of several operations stay as they are.
pub fn without_omitted(document: &ExecutableDocument, variables: &Variables) -> Option<ExecutableDocument> {
    let mut operations = document.operations.iter();
    let (Some((_, operation)), None) = (operations.next(), operations.next()) else { return None };
    let is_omitted = |it: &VariableDefinition| {
        it.var_type.node.nullable && it.default_value.is_none() && !variables.contains_key(&it.name.node)
    };
    let definitions = operation.node.variable_definitions.iter().filter(|it| is_omitted(&it.node));
    let omitted: HashSet<Name> = definitions.map(|it| it.node.name.node.clone()).collect();
    if omitted.is_empty() {
        return None;
    }
    let mut document = document.clone();
    let operation = match &mut document.operations {
        DocumentOperations::Single(operation) => Some(operation),
        DocumentOperations::Multiple(operations) => operations.values_mut().next(),
    };
    if let Some(operation) = operation {
        operation.node.variable_definitions.retain(|it| !omitted.contains(&it.node.name.node));
        drop_in_selections(&mut operation.node.selection_set.node, &omitted);
    }
    for fragment in document.fragments.values_mut() {
        drop_in_selections(&mut fragment.node.selection_set.node, &omitted);
    }
    Some(document)
}

fn drop_in_selections(selections: &mut SelectionSet, omitted: &HashSet<Name>) {
    for selection in &mut selections.items {
        match &mut selection.node {
            Selection::Field(field) => {
                field.node.arguments.retain(|(_, value)| !is_variable_of(&value.node, omitted));
                field.node.arguments.iter_mut().for_each(|(_, value)| drop_in_value(&mut value.node, omitted));
                drop_in_selections(&mut field.node.selection_set.node, omitted);
            }
            Selection::InlineFragment(fragment) => {
                drop_in_selections(&mut fragment.node.selection_set.node, omitted);
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn drop_in_value(value: &mut Value, omitted: &HashSet<Name>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !is_variable_of(value, omitted));
            fields.values_mut().for_each(|value| drop_in_value(value, omitted));
        }
        Value::List(items) => {
            for item in items {
                if is_variable_of(item, omitted) {
                    *item = Value::Null;
                }
                drop_in_value(item, omitted);
            }
        }
        _ => {}
    }
}

fn is_variable_of(value: &Value, names: &HashSet<Name>) -> bool {
    matches!(value, Value::Variable(name) if names.contains(name))
}

fn in_operation(operation: &OperationDefinition) -> Option<Unfit> {
    let mut defaults = operation.variable_definitions.iter().map(|it| {
        let value = it.node.default_value.as_ref()?;
        below(format_args!("${}", it.node.name.node), in_const(&value.node))
    });
    defaults.find_map(|it| it).or_else(|| in_selections(&operation.selection_set.node))
}

fn in_selections(selections: &SelectionSet) -> Option<Unfit> {
    selections.items.iter().find_map(|selection| match &selection.node {
        Selection::Field(field) => {
            let field = &field.node;
            let directives = field.directives.iter().flat_map(|it| &it.node.arguments);
            let mut arguments = field.arguments.iter().chain(directives);
            let found = arguments.find_map(|(name, value)| below(&name.node, in_value(&value.node)));
            found.or_else(|| in_selections(&field.selection_set.node))
        }
        Selection::InlineFragment(fragment) => in_selections(&fragment.node.selection_set.node),
        Selection::FragmentSpread(_) => None, // Every fragment is checked once, where it is defined.
    })
}

fn in_value(value: &Value) -> Option<Unfit> {
    match value {
        Value::String(text) => in_text(text),
        Value::Number(number) => in_number(number),
        Value::List(items) => items.iter().enumerate().find_map(|(at, it)| below(format_args!(".{at}"), in_value(it))),
        Value::Object(fields) => fields.iter().find_map(|(name, it)| below(format_args!(".{name}"), in_value(it))),
        _ => None,
    }
}

fn in_const(value: &ConstValue) -> Option<Unfit> {
    match value {
        ConstValue::String(text) => in_text(text),
        ConstValue::Number(number) => in_number(number),
        ConstValue::List(items) => {
            items.iter().enumerate().find_map(|(at, it)| below(format_args!(".{at}"), in_const(it)))
        }
        ConstValue::Object(fields) => fields.iter().find_map(|(name, it)| below(format_args!(".{name}"), in_const(it))),
        _ => None,
    }
}

fn in_text(text: &str) -> Option<Unfit> {
    text.contains('\0').then(|| (String::new(), "a string cannot contain a NUL character"))
}

fn in_number(number: &Number) -> Option<Unfit> {
    is_too_large(number).then(|| (String::new(), "an integer has at most 32 bits"))
}

fn is_too_large(number: &Number) -> bool {
    !number.is_f64() && number.as_i64().is_none_or(|it| i32::try_from(it).is_err())
}
