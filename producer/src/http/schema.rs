//! The API's description of fields and headers that are parsed by hand.

use schemas::Status;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::limits::{MAX_PRODUCT_NAME, MAX_PRODUCTS};

/// An amount: a JSON number or a string, exact, 0 or more, below 10^15, at most two decimals.
#[derive(Debug)]
pub(super) struct Money;

impl ToSchema for Money {}

impl PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(0))
            .exclusive_maximum(Some(1_000_000_000_000_000_u64))
            .multiple_of(Some(0.01))
            .examples([serde_json::json!(100)])
            .build();
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,2})?$"))
            .examples([serde_json::json!("100.00")])
            .build();
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some(
                "An amount: a JSON number or a string, exact, 0 or more, below 10^15, at most two \
                 decimals. It is never rounded.",
            ))
            .into()
    }
}

/// An order id in a body.
#[derive(Debug)]
pub(super) struct OrderIdField;

impl ToSchema for OrderIdField {}

impl PartialSchema for OrderIdField {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(OrderIdText::schema())
            .item(ObjectBuilder::new().schema_type(Type::Integer))
            .description(Some(
                "1 to 128 bytes of UTF-8 without control characters; an integer stands for its digits.",
            ))
            .into()
    }
}

/// An order id in a path.
#[derive(Debug)]
pub(super) struct OrderIdText;

impl ToSchema for OrderIdText {}

impl PartialSchema for OrderIdText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            // Its length counts bytes, which no keyword of JSON Schema does.
            .format(Some(SchemaFormat::Custom("order-id".to_owned())))
            .min_length(Some(1))
            .max_length(Some(128))
            .description(Some("1 to 128 bytes of UTF-8 without control characters."))
            .into()
    }
}

/// An order id of the old system.
#[derive(Debug)]
pub(super) struct OldId;

impl ToSchema for OldId {}

impl PartialSchema for OldId {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9]{1,18}$"));
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0));
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some("A number, or a string of its digits."))
            .into()
    }
}

/// A status as clients may write it.
#[derive(Debug)]
pub(super) struct StatusText;

impl ToSchema for StatusText {}

impl PartialSchema for StatusText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Status::ALL.map(Status::as_str)))
            .description(Some("In any case."))
            .examples([serde_json::json!("SENT")])
            .into()
    }
}

/// The lines of a bulk request.
#[derive(Debug)]
pub(super) struct Lines;

impl ToSchema for Lines {}

impl PartialSchema for Lines {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::Custom("ndjson".to_owned())))
            .into()
    }
}

/// The products of a new order.
#[derive(Debug)]
pub(super) struct Products;

impl ToSchema for Products {}

impl PartialSchema for Products {
    fn schema() -> RefOr<Schema> {
        let product = ObjectBuilder::new()
            .property(
                "name",
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::Custom("product-name".to_owned())))
                    .description(Some("No control characters; its length is in bytes."))
                    .min_length(Some(1))
                    .max_length(Some(MAX_PRODUCT_NAME)),
            )
            .property("price", Money::schema())
            .required("name")
            .required("price");
        ArrayBuilder::new()
            .items(product)
            .max_items(Some(MAX_PRODUCTS))
            .into()
    }
}

/// The header that makes it safe to repeat a request.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(super) struct IdempotencyKey {
    /// 1 to 255 visible ASCII characters. The same request again gets the answer of the first for
    /// 24 hours, if that took effect; another request under the same key is refused.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, pattern = "^[!-~]{1,255}$")]
    idempotency_key: Option<String>,
}

/// The header that names the versions on which a change may build.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(super) struct IfMatch {
    /// Only if the order still has one of these ETags (RFC 9110), or `*`.
    #[param(rename = "If-Match", value_type = String, required = false, example = "\"1\"",
        pattern = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#)]
    if_match: Option<String>,
}
