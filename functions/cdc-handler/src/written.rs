//! How a message's values are written: the schema that Connect's JSON converter sends with them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::instant::Unit;

/// How a column's value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As text.
    Text,
    /// A whole number.
    Whole,
    /// True or false.
    Boolean,
    /// A moment, as a number of this unit since 1970.
    Number(Unit),
    /// A moment, or a date, as text.
    Moment,
    Date,
    /// Some other way, by its name.
    Otherwise(String),
}

impl Written {
    /// For people, in the words of the message's schema.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Text => "text",
            Self::Whole => "a whole number",
            Self::Boolean => "a boolean",
            Self::Number(Unit::Days) | Self::Date => "a date",
            Self::Number(_) | Self::Moment => "a time",
            Self::Otherwise(name) => name,
        }
    }
}

/// How the columns of a message's rows are written, by their names.
pub(crate) type Columns = BTreeMap<String, Written>;

/// The schemas of an event's messages. They hardly ever differ, so each is read once, and then only compared.
#[derive(Debug, Default)]
pub(crate) struct Schemas(Vec<(Box<str>, Option<Arc<Columns>>)>);

/// Schemas that are kept. A table has another one when its columns change.
const MAX_SCHEMAS: usize = 8;

impl Schemas {
    /// How this schema's rows are written; `None` if it does not say.
    pub(crate) fn columns(&mut self, schema: &str) -> Option<Arc<Columns>> {
        if let Some(known) = self.0.iter().position(|(text, _)| **text == *schema) {
            return self.0[known].1.clone();
        }
        let columns = serde_json::from_str(schema).ok().and_then(|schema: Schema| schema.rows()).map(Arc::new);
        if self.0.len() == MAX_SCHEMAS {
            self.0.remove(0);
        }
        self.0.push((schema.into(), columns.clone()));
        columns
    }
}

#[derive(Deserialize)]
struct Schema {
    #[serde(rename = "type")]
    kind: String,
    /// What the type stands for, if that is more than itself.
    name: Option<String>,
    /// A struct's fields.
    #[serde(default)]
    fields: Vec<Schema>,
    /// Its own name in the struct that it is a field of.
    field: Option<String>,
}

impl Schema {
    /// Of an envelope's schema, that of its rows: `before` and `after` have the same one.
    fn rows(self) -> Option<Columns> {
        let rows = self.fields.into_iter().find(|field| field.field.as_deref() == Some("after"))?;
        let columns = rows.fields.into_iter().map(|column| {
            let written = column.written();
            Some((column.field?, written))
        });
        columns.collect()
    }

    fn written(&self) -> Written {
        match (self.kind.as_str(), self.name.as_deref()) {
            ("string", None) => Written::Text,
            ("string", Some(name)) => match name {
                "io.debezium.data.Enum"
                | "io.debezium.data.Json"
                | "io.debezium.data.Uuid"
                | "io.debezium.data.Xml" => Written::Text,
                "io.debezium.time.ZonedTimestamp" | "io.debezium.time.IsoTimestamp" => Written::Moment,
                "io.debezium.time.IsoDate" => Written::Date,
                _ => Written::Otherwise(name.to_owned()),
            },
            ("int8" | "int16" | "int32" | "int64", None) => Written::Whole,
            ("boolean", None) => Written::Boolean,
            (_, Some("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date")) => Written::Number(Unit::Days),
            (_, Some("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp")) => {
                Written::Number(Unit::Milliseconds)
            }
            (_, Some("io.debezium.time.MicroTimestamp")) => Written::Number(Unit::Microseconds),
            (_, Some("io.debezium.time.NanoTimestamp")) => Written::Number(Unit::Nanoseconds),
            (kind, name) => Written::Otherwise(name.unwrap_or(kind).to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn check(column: Value, expect: Expect) {
        let rows = json!({"type": "struct", "field": "after", "fields": [column]});
        let before = json!({"type": "struct", "field": "before", "fields": []});
        let schema = json!({"type": "struct", "name": "crm.Envelope", "fields": [before, rows]}).to_string();
        let mut schemas = Schemas::default();
        let columns = schemas.columns(&schema).unwrap();
        expect.assert_eq(&format!("{columns:?}"));
        assert!(Arc::ptr_eq(&columns, &schemas.columns(&schema).unwrap()), "it is read once");
    }

    #[test]
    fn a_schema_says_how_values_are_written() {
        check(json!({"field": "a", "type": "string", "optional": true}), expect![[r#"{"a": Text}"#]]);
        check(json!({"field": "a", "type": "string", "name": "io.debezium.data.Json"}), expect![[r#"{"a": Text}"#]]);
        check(json!({"field": "a", "type": "int32"}), expect![[r#"{"a": Whole}"#]]);
        check(json!({"field": "a", "type": "boolean"}), expect![[r#"{"a": Boolean}"#]]);
        check(
            json!({"field": "a", "type": "int64", "name": "io.debezium.time.MicroTimestamp"}),
            expect![[r#"{"a": Number(Microseconds)}"#]],
        );
        check(
            json!({"field": "a", "type": "string", "name": "io.debezium.time.ZonedTimestamp"}),
            expect![[r#"{"a": Moment}"#]],
        );
        check(json!({"field": "a", "type": "bytes"}), expect![[r#"{"a": Otherwise("bytes")}"#]]);
        check(
            json!({"field": "a", "type": "int64", "name": "io.debezium.time.MicroTime"}),
            expect![[r#"{"a": Otherwise("io.debezium.time.MicroTime")}"#]],
        );
        check(
            json!({"field": "a", "type": "struct", "name": "io.debezium.data.VariableScaleDecimal", "fields": []}),
            expect![[r#"{"a": Otherwise("io.debezium.data.VariableScaleDecimal")}"#]],
        );
    }

    #[test]
    fn a_schema_that_tells_of_no_rows_says_nothing() {
        for schema in ["null", "{}", r#"{"type":"struct"}"#, r#"{"type":"struct","fields":[{"type":"int32"}]}"#] {
            assert_eq!(Schemas::default().columns(schema), None);
        }
        let mut schemas = Schemas::default();
        for number in 0..100 {
            schemas.columns(&number.to_string());
        }
        assert_eq!(schemas.0.len(), MAX_SCHEMAS);
    }
}
