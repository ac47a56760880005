//! The schema that ships: committed, complete in its promises, and described.

use serde_json::Value;

use crate::support::TestApp;

#[test]
fn the_committed_schema_is_the_programs() {
    let committed = include_str!("../../schema.graphql");
    assert!(
        committed == tenantry::api::schema::sdl(),
        "schema.graphql is out of date: cargo run -- schema > schema.graphql"
    );
}

#[test]
fn the_schema_is_sorted() {
    let sdl = include_str!("../../schema.graphql");
    let booking = sdl.split("type Booking implements Node {").nth(1).unwrap().split("\n}").next().unwrap();
    let field = regex::Regex::new(r"(?m)^\t([a-z]\w*)[:(]").unwrap();
    let fields: Vec<&str> = field.captures_iter(booking).map(|it| it.get(1).unwrap().as_str()).collect();
    assert!(fields.is_sorted() && fields.len() > 8, "{fields:?}");
}

/// The names, arguments and nullability that clients were promised, as far as they are built.
#[test]
fn promised_names_are_kept() {
    let sdl: String = include_str!("../../schema.graphql").split_whitespace().collect::<Vec<_>>().join(" ");
    for promise in [
        "viewer: User",
        "node( \"\"\" Its id. \"\"\" id: ID! ): Node",
        "ids: [ID!]! ): [Node]!",
        "tenant: Tenant!",
        "billing: Billing!",
        "plans: [Plan!]!",
        "): UserConnection!",
        "): ServiceConnection!",
        "): Service",
        "): BookingConnection!",
        "): Booking",
        "login(input: LoginInput!): LoginPayload!",
        "refreshSession(input: RefreshSessionInput!): LoginPayload!",
        "logout: LogoutPayload!",
        "updateUser(input: UpdateUserInput!): UpdateUserPayload!",
        "createService(input: CreateServiceInput!): CreateServicePayload!",
        "updateService(input: UpdateServiceInput!): UpdateServicePayload!",
        "deleteService(input: DeleteServiceInput!): DeleteServicePayload!",
        "createBooking(input: CreateBookingInput!): CreateBookingPayload!",
        "updateBookingStatus(input: UpdateBookingStatusInput!): UpdateBookingStatusPayload!",
        "cancelBooking(input: CancelBookingInput!): CancelBookingPayload!",
        "interface Node {",
        "type Tenant implements Node",
        "type User implements Node",
        "type Service implements Node",
        "type Booking implements Node",
        "scalar DateTime",
        "scalar TimeZone",
        "scalar Decimal",
        "scalar CurrencyCode",
        "enum Role {",
        "enum BookingStatus {",
        "enum BookingOrder {",
        "accessTokenExpiresAt: DateTime!",
        "refreshTokenExpiresAt: DateTime!",
        "startsAt: DateTime!",
        "timeZone: TimeZone!",
        "version: Int!",
        "amount: Decimal!",
        "currency: CurrencyCode!",
        "userErrors: [UserError!]!",
        "field: [String!]",
        "code: UserErrorCode!",
        "used: Int!",
        "limit: Int",
    ] {
        assert!(sdl.contains(promise), "{promise} is not in schema.graphql");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_field_and_argument_is_described() {
    let app = TestApp::start().await;
    let query = "{ __schema { types { name kind description
        fields { name description args { name description } } inputFields { name description } enumValues { name description } } } }";
    let answer = app.anonymous().run(query).await;
    let mut silent = Vec::new();
    let mut check = |path: String, it: &Value| {
        if it["description"].as_str().is_none_or(str::is_empty) {
            silent.push(path);
        }
    };
    let list = |it: &Value| it.as_array().cloned().unwrap_or_default();
    for definition in list(&answer["data"]["__schema"]["types"]) {
        let name = definition["name"].as_str().unwrap().to_owned();
        if name.starts_with("__") {
            continue;
        }
        check(name.clone(), &definition);
        for field in list(&definition["fields"]) {
            check(format!("{name}.{}", field["name"]), &field);
            for argument in list(&field["args"]) {
                // An input's own fields are described where it is defined.
                if argument["name"] != "input" {
                    check(format!("{name}.{}({})", field["name"], argument["name"]), &argument);
                }
            }
        }
        for part in list(&definition["inputFields"]).into_iter().chain(list(&definition["enumValues"])) {
            check(format!("{name}.{}", part["name"]), &part);
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}
