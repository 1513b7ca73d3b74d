//! Reads compact JSON into a tree of borrowed values.
//! Guarantee: linear in the input but for sorting keys; recursion is bounded by `DEPTH_MAX`.
//! Not here: typed documents (`value` feeds them to serde).

use std::borrow::Cow;

use super::value::Value;
use super::{DEPTH_MAX, DOCUMENT_BYTES_MAX, INTEGER_MAX, JsonError};

/// Reads exactly one object.
pub(super) fn scan(bytes: &[u8]) -> Result<Value<'_>, JsonError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(JsonError::TooLarge { bytes: bytes.len() });
    }
    let text = str::from_utf8(bytes).map_err(|source| JsonError::NotUtf8 { source })?;
    let mut scanner = Scanner { text, offset: 0 };
    scanner.expect(b'{')?;
    let value = scanner.object(1)?;
    if scanner.offset == text.len() { Ok(value) } else { Err(scanner.syntax()) }
}

struct Scanner<'a> {
    text: &'a str,
    /// Always on a character boundary: it only ever passes ASCII bytes or whole strings.
    offset: usize,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        match self.peek() {
            Some(b'{') => {
                self.offset += 1;
                self.object(self.deeper(depth)?)
            }
            Some(b'[') => {
                self.offset += 1;
                self.list(self.deeper(depth)?)
            }
            Some(b'"') => {
                self.offset += 1;
                self.string().map(Value::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            _ => Err(self.syntax()),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, JsonError> {
        if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(JsonError::Depth { offset: self.offset }) }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let mut members = Vec::new();
        if self.skip_if(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.expect(b'"')?;
            let key = self.string()?;
            self.expect(b':')?;
            members.push((key, self.value(depth)?));
            if !self.skip_if(b',') {
                break;
            }
        }
        self.expect(b'}')?;
        let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err(JsonError::DuplicateKey { offset: self.offset });
        }
        Ok(Value::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let mut values = Vec::new();
        if self.skip_if(b']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            if !self.skip_if(b',') {
                break;
            }
        }
        self.expect(b']')?;
        Ok(Value::List(values))
    }

    /// The rest of a string whose opening quote is taken.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let mut decoded: Option<String> = None;
        loop {
            let rest = self.rest()?;
            let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let plain = end.and_then(|end| rest.get(..end)).ok_or(self.syntax())?;
            self.offset += plain.len();
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(match decoded {
                        None => Cow::Borrowed(plain),
                        Some(text) => Cow::Owned(text + plain),
                    });
                }
                Some(b'\\') => {
                    self.offset += 1;
                    let text = decoded.get_or_insert_default();
                    text.push_str(plain);
                    text.push(self.escape()?);
                }
                _ => return Err(self.syntax()),
            }
        }
    }

    /// The character that an escape stands for; its backslash is taken.
    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(kind) = self.peek() else {
            return Err(self.syntax());
        };
        self.offset += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).ok_or(self.syntax());
                }
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let second = self.unit()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(self.syntax());
                }
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                    .ok_or(self.syntax());
            }
            _ => return Err(self.syntax()),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or(self.syntax())?;
            self.offset += 1;
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }

    fn integer(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.offset;
        let number = || JsonError::Number { offset: start };
        let negative = self.skip_if(b'-');
        let rest = self.rest()?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let magnitude = rest.get(..digits).and_then(crate::text::decimal).ok_or_else(number)?;
        let magnitude =
            i64::try_from(magnitude).ok().filter(|magnitude| *magnitude <= INTEGER_MAX).ok_or_else(number)?;
        self.offset += digits;
        // "-0" is another spelling of 0, and a float to many readers.
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) || (negative && magnitude == 0) {
            return Err(number());
        }
        Ok(Value::Integer(if negative { -magnitude } else { magnitude }))
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        if !self.rest()?.starts_with(word) {
            return Err(self.syntax());
        }
        self.offset += word.len();
        Ok(value)
    }

    /// The text that is not scanned yet.
    fn rest(&self) -> Result<&'a str, JsonError> {
        self.text.get(self.offset..).ok_or(self.syntax())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.offset += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.skip_if(byte) { Ok(()) } else { Err(self.syntax()) }
    }

    fn syntax(&self) -> JsonError {
        JsonError::Syntax { offset: self.offset }
    }
}
