//! Values of typed columns as JSON values.
use crate::Row;
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, RecordBatch,
    cast::AsArray,
    downcast_dictionary_array,
    temporal_conversions::{as_date, as_datetime, as_time},
    types::*,
};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

/// Row `at` of a batch.
pub fn row(batch: &RecordBatch, at: usize) -> Result<Row, String> {
    let schema = batch.schema_ref();
    let columns = schema.fields().iter().zip(batch.columns());
    let value = |(field, column): (&arrow_schema::FieldRef, &ArrayRef)| {
        let value = of(column, at).map_err(|why| format!("column `{}` {why}", field.name()))?;
        Ok((field.name().clone(), value))
    };
    columns.map(value).collect()
}

/// Value `at` of a column.
pub fn of(array: &dyn Array, at: usize) -> Result<Value, String> {
    if array.is_null(at) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(at).into(),
        DataType::Utf8 => array.as_string::<i32>().value(at).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(at).into(),
        DataType::Utf8View => array.as_string_view().value(at).into(),
        DataType::Binary => text(array.as_binary::<i32>().value(at))?,
        DataType::LargeBinary => text(array.as_binary::<i64>().value(at))?,
        DataType::BinaryView => text(array.as_binary_view().value(at))?,
        DataType::FixedSizeBinary(_) => text(array.as_fixed_size_binary().value(at))?,
        DataType::List(_) => list(&array.as_list::<i32>().value(at))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(at))?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(at))?,
        DataType::Struct(_) => fields(array, at)?,
        DataType::Map(..) => pairs(array, at)?,
        DataType::Dictionary(..) => entry(array, at)?,
        other => number(array, at, other).or_else(|| moment(array, at, other)).ok_or_else(|| unread(other))?,
    })
}

fn unread(kind: &DataType) -> String {
    format!("has the type {}, which is not read", self::kind(kind))
}

fn text(bytes: &[u8]) -> Result<Value, String> {
    std::str::from_utf8(bytes).map(Value::from).map_err(|_| "is no UTF-8".to_owned())
}

fn list(items: &ArrayRef) -> Result<Value, String> {
    (0..items.len()).map(|at| of(items, at)).collect::<Result<_, _>>().map(Value::Array)
}

fn fields(array: &dyn Array, at: usize) -> Result<Value, String> {
    let array = array.as_struct();
    let fields = array.fields().iter().zip(array.columns());
    let fields = fields.map(|(field, column)| Ok((field.name().clone(), of(column, at)?)));
    fields.collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn pairs(array: &dyn Array, at: usize) -> Result<Value, String> {
    let entries = array.as_map().value(at);
    let (keys, values) = (entries.column(0), entries.column(1));
    let pair = |at| {
        let key = match of(keys, at)? {
            Value::String(key) => key,
            other => other.to_string(),
        };
        Ok((key, of(values, at)?))
    };
    (0..entries.len()).map(pair).collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn entry(array: &dyn Array, at: usize) -> Result<Value, String> {
    downcast_dictionary_array!(
        array => match array.key(at) {
            Some(key) => of(array.values(), key),
            None => Ok(Value::Null),
        },
        other => Err(unread(other))
    )
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array, at: usize) -> T::Native {
    array.as_primitive::<T>().value(at)
}

/// Numbers that are none (NaN, infinities) are null, as JSON has none of them. Decimals are texts, so that no digit is lost.
fn number(array: &dyn Array, at: usize, kind: &DataType) -> Option<Value> {
    Some(match kind {
        DataType::Int8 => native::<Int8Type>(array, at).into(),
        DataType::Int16 => native::<Int16Type>(array, at).into(),
        DataType::Int32 => native::<Int32Type>(array, at).into(),
        DataType::Int64 => native::<Int64Type>(array, at).into(),
        DataType::UInt8 => native::<UInt8Type>(array, at).into(),
        DataType::UInt16 => native::<UInt16Type>(array, at).into(),
        DataType::UInt32 => native::<UInt32Type>(array, at).into(),
        DataType::UInt64 => native::<UInt64Type>(array, at).into(),
        DataType::Float16 => f64::from(native::<Float16Type>(array, at)).into(),
        DataType::Float32 => short(native::<Float32Type>(array, at)),
        DataType::Float64 => native::<Float64Type>(array, at).into(),
        DataType::Decimal32(..) => array.as_primitive::<Decimal32Type>().value_as_string(at).into(),
        DataType::Decimal64(..) => array.as_primitive::<Decimal64Type>().value_as_string(at).into(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(at).into(),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(at).into(),
        _ => return None,
    })
}

/// `0.1`, and not `0.10000000149011612`.
fn short(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Dates and times in the words of RFC 3339.
fn moment(array: &dyn Array, at: usize, kind: &DataType) -> Option<Value> {
    let text = match kind {
        DataType::Date32 => as_date::<Date32Type>(native::<Date32Type>(array, at).into())?.to_string(),
        DataType::Date64 => as_date::<Date64Type>(native::<Date64Type>(array, at))?.to_string(),
        DataType::Time32(TimeUnit::Second) => {
            as_time::<Time32SecondType>(native::<Time32SecondType>(array, at).into())?.to_string()
        }
        DataType::Time32(_) => {
            as_time::<Time32MillisecondType>(native::<Time32MillisecondType>(array, at).into())?.to_string()
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            as_time::<Time64MicrosecondType>(native::<Time64MicrosecondType>(array, at))?.to_string()
        }
        DataType::Time64(_) => as_time::<Time64NanosecondType>(native::<Time64NanosecondType>(array, at))?.to_string(),
        DataType::Timestamp(unit, zone) => {
            let moment = match unit {
                TimeUnit::Second => as_datetime::<TimestampSecondType>(native::<TimestampSecondType>(array, at)),
                TimeUnit::Millisecond => {
                    as_datetime::<TimestampMillisecondType>(native::<TimestampMillisecondType>(array, at))
                }
                TimeUnit::Microsecond => {
                    as_datetime::<TimestampMicrosecondType>(native::<TimestampMicrosecondType>(array, at))
                }
                TimeUnit::Nanosecond => {
                    as_datetime::<TimestampNanosecondType>(native::<TimestampNanosecondType>(array, at))
                }
            };
            // With a zone it is kept in UTC.
            format!("{}{}", moment?.format("%Y-%m-%dT%H:%M:%S%.f"), if zone.is_some() { "Z" } else { "" })
        }
        _ => return None,
    };
    Some(text.into())
}

/// A type as people read it.
pub fn kind(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".to_owned()
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list<{}>", self::kind(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("{}: {}", field.name(), self::kind(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Dictionary(_, values) => self::kind(values),
        DataType::Timestamp(_, zone) => match zone {
            Some(zone) => format!("timestamp[{zone}]"),
            None => "timestamp".to_owned(),
        },
        other => other.to_string().to_lowercase(),
    }
}

/// The type of a JSON value.
pub const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
