//! Rust values to CBOR.

use super::bounds::DEPTH_LIMIT;
use super::error::ConversionError;
use minicbor::data::Tag;
use minicbor::encode::Encoder;
use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};

type Result<T, E = ConversionError> = std::result::Result<T, E>;

/// Appends `value` to `out`.
///
/// # Errors
/// What has no form in the subset: a map key that is no string, number, boolean or unit variant,
/// nesting deeper than [`DEPTH_LIMIT`]; or an error of `value`'s own. `out`
/// then holds a part of the value behind its former end.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    value.serialize(&mut Serializer::new(out))
}

/// A serde serializer that appends to a vector.
#[derive(Debug)]
pub struct Serializer<'a> {
    out: &'a mut Vec<u8>,
    depth_left: usize,
}

impl<'a> Serializer<'a> {
    /// A serializer that appends to `out`.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth_left: DEPTH_LIMIT }
    }

    /// Writes tokens by `write`.
    fn put(&mut self, write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Result<()> {
        match write(&mut Encoder::new(&mut *self.out)) {
            Ok(()) => Ok(()),
            Err(error) => Err(ConversionError::new(error.to_string())),
        }
    }

    /// Writes an integer beyond 64 bits, without zeros at its front (RFC 8949, section 3.4.3).
    fn bignum(&mut self, tag: Tag, value: u128) -> Result<()> {
        let bytes = value.to_be_bytes();
        let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
        self.put(|encoder| encoder.tag(tag)?.bytes(&bytes[start..])?.ok())
    }

    /// Opens an array or map of `length` items, or of a number that shows when it is closed.
    fn open(&mut self, kind: Kind, length: Option<usize>) -> Result<Container<'_, 'a>> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(ConversionError::new(format!(
                "arrays and maps nest deeper than {DEPTH_LIMIT}"
            )));
        };
        let start = self.out.len();
        if let Some(length) = length {
            let length = count(length)?;
            self.put(|encoder| kind.head(encoder, length))?;
        }
        self.depth_left = depth_left;
        Ok(Container { serializer: self, kind, start, announced: length, written: 0, depth: 1 })
    }

    /// Opens the map with one entry that stands for a variant with contents.
    fn open_variant(&mut self, variant: &str) -> Result<()> {
        self.put(|encoder| encoder.map(1)?.str(variant)?.ok())?;
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                Ok(())
            }
            None => {
                Err(ConversionError::new(format!("arrays and maps nest deeper than {DEPTH_LIMIT}")))
            }
        }
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn count(length: usize) -> Result<u64> {
    u64::try_from(length).map_err(|_| ConversionError::new("a length beyond 64 bits"))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Array,
    Map,
}

impl Kind {
    fn head(self, encoder: &mut Encoder<&mut Vec<u8>>, length: u64) -> Written {
        match self {
            Self::Array => encoder.array(length)?.ok(),
            Self::Map => encoder.map(length)?.ok(),
        }
    }
}

/// An array or map that is being written.
#[derive(Debug)]
pub struct Container<'s, 'a> {
    serializer: &'s mut Serializer<'a>,
    kind: Kind,
    /// Where its head is, or has to be inserted.
    start: usize,
    announced: Option<usize>,
    written: usize,
    /// Levels to give back at the end: 2 for the contents of a variant.
    depth: usize,
}

impl Container<'_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.written += 1;
        value.serialize(&mut *self.serializer)
    }

    fn close(self) -> Result<()> {
        self.serializer.depth_left += self.depth;
        match self.announced {
            Some(announced) if announced == self.written => Ok(()),
            Some(announced) => Err(ConversionError::new(format!(
                "a sequence or map announced {announced} items and has {}",
                self.written
            ))),
            // The number of items was not known before: make room for the head now.
            None => {
                let mut head = Vec::with_capacity(9);
                let length = count(self.written)?;
                if let Err(error) = self.kind.head(&mut Encoder::new(&mut head), length) {
                    return Err(ConversionError::new(error.to_string()));
                }
                self.serializer.out.splice(self.start..self.start, head);
                Ok(())
            }
        }
    }
}

macro_rules! scalars {
    ($($method:ident: $type:ty => $encode:ident as $wide:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<()> {
            self.put(|encoder| encoder.$encode(<$wide>::from(value))?.ok())
        })*
    };
}

impl<'s, 'a> ser::Serializer for &'s mut Serializer<'a> {
    type Ok = ();
    type Error = ConversionError;
    type SerializeSeq = Container<'s, 'a>;
    type SerializeTuple = Container<'s, 'a>;
    type SerializeTupleStruct = Container<'s, 'a>;
    type SerializeTupleVariant = Container<'s, 'a>;
    type SerializeMap = Container<'s, 'a>;
    type SerializeStruct = Container<'s, 'a>;
    type SerializeStructVariant = Container<'s, 'a>;

    scalars! {
        serialize_bool: bool => bool as bool,
        serialize_i8: i8 => i64 as i64,
        serialize_i16: i16 => i64 as i64,
        serialize_i32: i32 => i64 as i64,
        serialize_i64: i64 => i64 as i64,
        serialize_u8: u8 => u64 as u64,
        serialize_u16: u16 => u64 as u64,
        serialize_u32: u32 => u64 as u64,
        serialize_u64: u64 => u64 as u64,
        serialize_f32: f32 => f32 as f32,
        serialize_f64: f64 => f64 as f64,
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => self.serialize_i64(value),
            (_, Ok(value)) => self.serialize_u64(value),
            _ if value >= 0 => self.bignum(Tag::new(2), value.unsigned_abs()),
            // Written as -1 - n, which is the complement of n.
            _ => self.bignum(Tag::new(3), (!value).unsigned_abs()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<()> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => self.bignum(Tag::new(2), value),
        }
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.put(|encoder| encoder.str(value)?.ok())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.put(|encoder| encoder.bytes(value)?.ok())
    }

    fn serialize_none(self) -> Result<()> {
        self.put(|encoder| encoder.null()?.ok())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.open_variant(variant)?;
        value.serialize(&mut *self)?;
        self.depth_left += 1;
        Ok(())
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Container<'s, 'a>> {
        self.open(Kind::Array, length)
    }

    fn serialize_tuple(self, length: usize) -> Result<Container<'s, 'a>> {
        self.open(Kind::Array, Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Container<'s, 'a>> {
        self.open(Kind::Array, Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Container<'s, 'a>> {
        self.open_variant(variant)?;
        let container = self.open(Kind::Array, Some(length))?;
        Ok(Container { depth: 2, ..container })
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Container<'s, 'a>> {
        self.open(Kind::Map, length)
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Container<'s, 'a>> {
        self.open(Kind::Map, Some(length))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Container<'s, 'a>> {
        self.open_variant(variant)?;
        let container = self.open(Kind::Map, Some(length))?;
        Ok(Container { depth: 2, ..container })
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

macro_rules! sequences {
    ($($trait:ident::$method:ident,)*) => {
        $(impl $trait for Container<'_, '_> {
            type Ok = ();
            type Error = ConversionError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.item(value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        })*
    };
}

sequences! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! structs {
    ($($trait:ident,)*) => {
        $(impl $trait for Container<'_, '_> {
            type Ok = ();
            type Error = ConversionError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<()> {
                self.serializer.put(|encoder| encoder.str(key)?.ok())?;
                self.item(value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        })*
    };
}

structs! { SerializeStruct, SerializeStructVariant, }

impl SerializeMap for Container<'_, '_> {
    type Ok = ();
    type Error = ConversionError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        key.serialize(Key { serializer: self.serializer })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.item(value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

/// Writes a map key as text.
struct Key<'s, 'a> {
    serializer: &'s mut Serializer<'a>,
}

macro_rules! key_from_display {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<()> {
            self.serialize_str(&value.to_string())
        })*
    };
}

macro_rules! no_key {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok> {
            Err(ConversionError::new("a map key must be a string"))
        })*
    };
}

impl ser::Serializer for Key<'_, '_> {
    type Ok = ();
    type Error = ConversionError;
    type SerializeSeq = ser::Impossible<(), ConversionError>;
    type SerializeTuple = ser::Impossible<(), ConversionError>;
    type SerializeTupleStruct = ser::Impossible<(), ConversionError>;
    type SerializeTupleVariant = ser::Impossible<(), ConversionError>;
    type SerializeMap = ser::Impossible<(), ConversionError>;
    type SerializeStruct = ser::Impossible<(), ConversionError>;
    type SerializeStructVariant = ser::Impossible<(), ConversionError>;

    fn serialize_str(self, value: &str) -> Result<()> {
        ser::Serializer::serialize_str(self.serializer, value)
    }

    key_from_display! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _value: &T) -> Result<()> {
        Err(ConversionError::new("a map key must be a string"))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<()> {
        Err(ConversionError::new("a map key must be a string"))
    }

    no_key! {
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}
