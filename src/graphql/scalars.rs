//! Scalars and the two money types. Each scalar checks literals and variables during validation (`is_valid`), so that
//! the error names the argument.

use std::str::FromStr;

use async_graphql::{ID, InputObject, InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value};
use jiff::{Timestamp, Unit, tz::TimeZone};

use super::ApiError;
use crate::base::{ids::InvalidId, money};

/// A point in time in RFC 3339 with offset, such as `2026-03-01T09:00:00+01:00`. Always returned in UTC. Years 1 to
/// 9999, with microsecond precision.
#[derive(Clone, Copy, Debug)]
pub struct DateTime(pub Timestamp);

impl DateTime {
    fn read(text: &str) -> Option<Self> {
        let instant: Timestamp = text.parse().ok()?;
        // The database stores microseconds; a finer value would come back different.
        let instant =
            instant.round(jiff::TimestampRound::new().smallest(Unit::Microsecond).mode(jiff::RoundMode::Trunc)).ok()?;
        let year = instant.to_zoned(TimeZone::UTC).year();
        (1..=9999).contains(&year).then_some(Self(instant))
    }
}

/// A point in time in RFC 3339 with offset, such as `2026-03-01T09:00:00+01:00`. Always returned in UTC. Years 1 to
/// 9999, with microsecond precision.
#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => {
                Self::read(text).ok_or_else(|| InputValueError::custom("not a date and time with offset"))
            }
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(text) if Self::read(text).is_some())
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An IANA time zone name, such as `Europe/Amsterdam`.
#[derive(Clone, Debug)]
pub struct TimeZoneName(pub TimeZone);

/// An IANA time zone name, such as `Europe/Amsterdam`.
#[Scalar(name = "TimeZone")]
impl ScalarType for TimeZoneName {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(name) => {
                TimeZone::get(name).map(Self).map_err(|_| InputValueError::custom("not an IANA time zone"))
            }
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(name) if TimeZone::get(name).is_ok())
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.iana_name().unwrap_or("UTC").to_owned())
    }
}

/// A calendar date, `YYYY-MM-DD`, years 1 to 9999.
#[derive(Clone, Copy, Debug)]
pub struct Date(pub jiff::civil::Date);

impl Date {
    fn read(text: &str) -> Option<Self> {
        let fits = text.len() == 10 && text.bytes().all(|it| it.is_ascii_digit() || it == b'-');
        let day: jiff::civil::Date = text.parse().ok().filter(|_| fits)?;
        (1..=9999).contains(&day.year()).then_some(Self(day))
    }
}

/// A calendar date, `YYYY-MM-DD`, years 1 to 9999.
#[Scalar(name = "Date")]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Self::read(text).ok_or_else(|| InputValueError::custom("not a date, YYYY-MM-DD")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(text) if Self::read(text).is_some())
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// A local time, `HH:MM` from `00:00` to `24:00`, in the time zone given beside it. Stored as minutes of the day.
#[derive(Clone, Copy, Debug)]
pub struct LocalTime(pub i16);

impl LocalTime {
    fn read(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let digits = |it: &str| it.len() == 2 && it.bytes().all(|it| it.is_ascii_digit());
        if !digits(hours) || !digits(minutes) {
            return None;
        }
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let of_day = hours * 60 + minutes;
        (minutes < 60 && of_day <= 1_440).then_some(Self(of_day))
    }
}

/// A local time, `HH:MM` from `00:00` to `24:00`, in the time zone given beside it.
#[Scalar(name = "LocalTime")]
impl ScalarType for LocalTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Self::read(text).ok_or_else(|| InputValueError::custom("not a time, HH:MM")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(text) if Self::read(text).is_some())
    }

    fn to_value(&self) -> Value {
        Value::String(format!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

/// An exact decimal number, as a string, such as `45.00`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal(pub rust_decimal::Decimal);

impl Decimal {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => rust_decimal::Decimal::from_str_exact(text).ok().map(Self),
            // A number without quotes: integers are exact; others would have passed through a float.
            Value::Number(number) => number.as_i64().map(|it| Self(it.into())),
            _ => None,
        }
    }
}

/// An exact decimal number, as a string, such as `45.00`.
#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        Self::read(&value).ok_or_else(|| InputValueError::custom("not an exact decimal number as a string"))
    }

    fn is_valid(value: &Value) -> bool {
        Self::read(value).is_some()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An ISO 4217 currency code, such as `EUR`.
#[derive(Clone, Copy, Debug)]
pub struct CurrencyCode(pub money::Currency);

/// An ISO 4217 currency code, such as `EUR`.
#[Scalar(name = "CurrencyCode")]
impl ScalarType for CurrencyCode {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(code) => {
                code.parse().map(Self).map_err(|()| InputValueError::custom("not an ISO 4217 currency code"))
            }
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(code) if money::Currency::from_str(code).is_ok())
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.code().to_owned())
    }
}

/// An exact amount of money.
#[derive(Clone, Copy, SimpleObject)]
pub struct Money {
    /// The amount, with as many decimals as the currency has.
    pub amount: Decimal,
    /// The currency.
    pub currency: CurrencyCode,
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self { amount: Decimal(money.amount()), currency: CurrencyCode(money.currency) }
    }
}

/// An exact amount of money.
#[derive(Clone, Copy, InputObject)]
pub struct MoneyInput {
    /// The amount, with at most as many decimals as the currency has.
    pub amount: Decimal,
    /// The currency.
    pub currency: CurrencyCode,
}

impl MoneyInput {
    /// The amount as business rules expect it.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when the amount has more decimals than the currency, or is too large to store.
    pub fn read(self, field: &str) -> Result<money::Money, ApiError> {
        money::Money::from_amount(self.amount.0, self.currency.0).map_err(|error| {
            let message = match error {
                money::InvalidAmount::TooPrecise => {
                    format!("{} has {} decimals", self.currency.0, self.currency.0.decimals())
                }
                money::InvalidAmount::TooLarge => "is too large".to_owned(),
            };
            ApiError::bad_input(format!("{field}.amount"), message)
        })
    }
}

/// Reads an id that a client sent in this argument.
///
/// # Errors
/// `BAD_USER_INPUT` when it is not an id of the wanted type.
pub fn parse_id<T: FromStr<Err = InvalidId>>(id: &ID, field: &'static str) -> Result<T, ApiError> {
    id.parse().map_err(|InvalidId { expected_prefix }| {
        ApiError::bad_input(field, format!("must be an id that starts with {expected_prefix}_"))
    })
}

/// Reads the half-open interval of a filter's `from` and `to`, either of which may be omitted.
///
/// # Errors
/// `BAD_USER_INPUT` naming the end when it is not later than the start.
pub fn filter_interval(
    from: Option<DateTime>,
    to: Option<DateTime>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    let (from, to) = (from.map(|it| it.0), to.map(|it| it.0));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(ApiError::bad_input("filter.to", "must be later than filter.from"));
    }
    Ok((from, to))
}
