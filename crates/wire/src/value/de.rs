//! CBOR to Rust values.

use super::bounds::{BIGNUM_BYTES, DEPTH_LIMIT};
use super::error::ConversionError;
use minicbor::data::Type;
use minicbor::decode::Decoder;
use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

type Result<T, E = ConversionError> = std::result::Result<T, E>;

/// Decodes one value that fills `payload`.
///
/// Bounded by itself (depth, definite lengths), but it skips what `T` ignores without looking for
/// duplicate keys: [`super::validate()`] first where the bytes come from the other side.
///
/// # Errors
/// In serde's words: what was found and what was expected.
pub fn decode<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T> {
    let mut deserializer = Deserializer::new(payload);
    let value = T::deserialize(&mut deserializer)?;
    deserializer.finish()?;
    Ok(value)
}

/// A serde deserializer over a slice, which can decode several items one after the other.
#[derive(Debug)]
pub struct Deserializer<'de> {
    decoder: Decoder<'de>,
    depth_left: usize,
}

impl<'de> Deserializer<'de> {
    /// A deserializer that starts at the first byte of `payload`.
    #[must_use]
    pub fn new(payload: &'de [u8]) -> Self {
        Self { decoder: Decoder::new(payload), depth_left: DEPTH_LIMIT }
    }

    /// Reads the head of an array and gives the number of items that follow.
    ///
    /// # Errors
    /// If the next item is no array of definite length.
    pub fn array(&mut self) -> Result<u64> {
        self.decoder.array()?.ok_or_else(indefinite)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// If something is.
    pub fn finish(&self) -> Result<()> {
        match self.decoder.input().len().checked_sub(self.decoder.position()) {
            Some(0) => Ok(()),
            _ => Err(ConversionError::new("bytes follow the value")),
        }
    }

    /// Runs `read` one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let Some(left) = self.depth_left.checked_sub(1) else {
            return Err(ConversionError::new(format!(
                "arrays and maps nest deeper than {DEPTH_LIMIT}"
            )));
        };
        self.depth_left = left;
        let result = read(self);
        self.depth_left = left + 1;
        result
    }

    /// Reads an integer beyond 64 bits: tag 2 or 3 before its bytes, the highest first.
    fn bignum(&mut self) -> Result<Bignum> {
        let tag = self.decoder.tag()?.as_u64();
        if !matches!((tag, self.decoder.datatype()?), (2 | 3, Type::Bytes)) {
            return Err(ConversionError::new("a tagged item"));
        }
        let bytes = self.decoder.bytes()?;
        let beyond = || ConversionError::new("an integer beyond 128 bits");
        let start = BIGNUM_BYTES.checked_sub(bytes.len()).ok_or_else(beyond)?;
        let mut all = [0; BIGNUM_BYTES];
        all[start..].copy_from_slice(bytes);
        let value = u128::from_be_bytes(all);
        if tag == 2 {
            return Ok(Bignum::Positive(value));
        }
        // Written as -1 - n, which is the complement of n.
        i128::try_from(value).map(|value| Bignum::Negative(!value)).map_err(|_| beyond())
    }

    fn skip_null(&mut self) -> Result<bool> {
        let is_null = matches!(self.decoder.datatype()?, Type::Null | Type::Undefined);
        if is_null {
            self.decoder.skip()?;
        }
        Ok(is_null)
    }
}

/// An integer beyond 64 bits.
enum Bignum {
    Positive(u128),
    Negative(i128),
}

fn indefinite() -> ConversionError {
    ConversionError::new("an item of indefinite length")
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = ConversionError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.decoder.datatype()? {
            Type::Bool => visitor.visit_bool(self.decoder.bool()?),
            Type::Null | Type::Undefined => {
                self.decoder.skip()?;
                visitor.visit_unit()
            }
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.decoder.u64()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => visitor.visit_i64(self.decoder.i64()?),
            Type::F16 => visitor.visit_f64(f64::from(self.decoder.f16()?)),
            Type::F32 => visitor.visit_f64(f64::from(self.decoder.f32()?)),
            Type::F64 => visitor.visit_f64(self.decoder.f64()?),
            Type::Bytes => visitor.visit_borrowed_bytes(self.decoder.bytes()?),
            Type::String => visitor.visit_borrowed_str(self.decoder.str()?),
            Type::Array => {
                let left = self.array()?;
                self.nested(|deserializer| {
                    let mut items = Items { deserializer, left };
                    let value = visitor.visit_seq(&mut items)?;
                    items.finish()?;
                    Ok(value)
                })
            }
            Type::Map => {
                let left = self.decoder.map()?.ok_or_else(indefinite)?;
                self.nested(|deserializer| {
                    let mut entries = Items { deserializer, left };
                    let value = visitor.visit_map(&mut entries)?;
                    entries.finish()?;
                    Ok(value)
                })
            }
            Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef => {
                Err(indefinite())
            }
            Type::Tag => match self.bignum()? {
                Bignum::Positive(value) => visitor.visit_u128(value),
                Bignum::Negative(value) => visitor.visit_i128(value),
            },
            other => Err(ConversionError::new(format!("unexpected {other}"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.skip_null()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.decoder.datatype()? {
            Type::String => {
                let name: BorrowedStrDeserializer<'_, ConversionError> =
                    BorrowedStrDeserializer::new(self.decoder.str()?);
                visitor.visit_enum(name)
            }
            Type::Map => {
                if self.decoder.map()? != Some(1) {
                    return Err(ConversionError::new(
                        "expected a map with one entry, the name and contents of a variant",
                    ));
                }
                self.nested(|deserializer| visitor.visit_enum(Variant { deserializer }))
            }
            other => Err(ConversionError::new(format!("unexpected {other}, expected a variant"))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.decoder.skip()?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// The items of an array or the entries of a map that are still to come.
struct Items<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    left: u64,
}

impl Items<'_, '_> {
    /// A visitor that stops early (a tuple) must have seen everything.
    fn finish(&self) -> Result<()> {
        match self.left {
            0 => Ok(()),
            left => Err(ConversionError::new(format!("{left} items too many"))),
        }
    }

    fn hint(&self) -> Option<usize> {
        // An item takes a byte at least, so a lie costs no more memory than the payload.
        let decoder = &self.deserializer.decoder;
        let available = decoder.input().len().saturating_sub(decoder.position());
        Some(usize::try_from(self.left).unwrap_or(usize::MAX).min(available))
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = ConversionError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.deserializer).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = ConversionError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let text = self.deserializer.decoder.str()?;
        seed.deserialize(Key { text }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.deserializer)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

/// A map key: text, which may stand for a number or a boolean.
struct Key<'de> {
    text: &'de str,
}

macro_rules! parsed_keys {
    ($($method:ident => $visit:ident: $type:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.text.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_borrowed_str(self.text),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for Key<'de> {
    type Error = ConversionError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let name: StringDeserializer<ConversionError> = self.text.to_owned().into_deserializer();
        visitor.visit_enum(name)
    }

    parsed_keys! {
        deserialize_bool => visit_bool: bool,
        deserialize_i8 => visit_i8: i8,
        deserialize_i16 => visit_i16: i16,
        deserialize_i32 => visit_i32: i32,
        deserialize_i64 => visit_i64: i64,
        deserialize_i128 => visit_i128: i128,
        deserialize_u8 => visit_u8: u8,
        deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32,
        deserialize_u64 => visit_u64: u64,
        deserialize_u128 => visit_u128: u128,
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// The one entry of a map that stands for a variant with contents.
struct Variant<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = ConversionError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let text = self.deserializer.decoder.str()?;
        let value = seed.deserialize(Key { text })?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = ConversionError;

    fn unit_variant(self) -> Result<()> {
        <()>::deserialize(self.deserializer)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.deserializer)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_any(self.deserializer, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        de::Deserializer::deserialize_any(self.deserializer, visitor)
    }
}
