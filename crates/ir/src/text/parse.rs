//! Text to graphs: regions, statements, attributes, signatures.

use super::cursor::Cursor;
use super::lex::Kind;
use super::{ParseError, ParseErrorKind};
use crate::{
    Attr, Attrs, Builder, F64, Graph, Input, Op, Output, Region, Role, Site, TensorType, Value, verify,
    verify_region,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Regions inside regions.
const MAX_DEPTH: usize = 64;
/// Nodes of a region when every region that its ops own is counted at each use: bounds the work of every walker.
const MAX_NODES: usize = 1 << 22;

/// The graph that the text describes.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut parser = Parser::new(text)?;
    while parser.cursor.is_word("region") {
        parser.region()?;
    }
    if !parser.cursor.is_word("graph") {
        return Err(parser.cursor.expected("`region` or `graph`"));
    }
    let graph = parser.graph()?;
    parser.end()?;
    Ok(graph)
}

/// The last region that the text describes.
pub fn parse_region(text: &str) -> Result<Region, ParseError> {
    let mut parser = Parser::new(text)?;
    if !parser.cursor.is_word("region") {
        return Err(parser.cursor.expected("`region`"));
    }
    let mut last = parser.region()?;
    while parser.cursor.is_word("region") {
        last = parser.region()?;
    }
    parser.end()?;
    verify_region(&last).map_err(|e| parser.cursor.error(e))?;
    Ok((*last).clone())
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    regions: HashMap<&'t str, Known>,
}

/// A region read so far.
#[derive(Clone)]
struct Known {
    region: Arc<Region>,
    depth: usize,
    nodes: usize,
}

/// A region being read.
struct Scope<'t> {
    builder: Builder,
    values: HashMap<&'t str, Value>,
    depth: usize,
    nodes: usize,
}

impl<'t> Scope<'t> {
    fn new() -> Self {
        Scope { builder: Builder::new(), values: HashMap::new(), depth: 1, nodes: 0 }
    }
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Result<Self, ParseError> {
        Ok(Parser { cursor: Cursor::new(text)?, regions: HashMap::new() })
    }

    fn end(&self) -> Result<(), ParseError> {
        if *self.cursor.peek() == Kind::End {
            Ok(())
        } else {
            Err(self.cursor.expected("the end of the text"))
        }
    }

    /// `region @name(%0: type, …) -> (type, …) { … return %1, … }`
    fn region(&mut self) -> Result<Arc<Region>, ParseError> {
        self.cursor.next();
        let Kind::Region(name) = *self.cursor.peek() else {
            return Err(self.cursor.expected("the region's name, `@…`"));
        };
        if self.regions.contains_key(name) {
            return Err(self.cursor.error(ParseErrorKind::Redefined(format!("@{name}"))));
        }
        self.cursor.next();
        self.cursor.mark("(")?;
        let mut scope = Scope::new();
        while !self.cursor.eat(")") {
            self.param(&mut scope)?;
            if !self.cursor.is_mark(")") {
                self.cursor.mark(",")?;
            }
        }
        let position = self.cursor.position();
        let stated = match self.cursor.eat("->") {
            true => {
                self.cursor.mark("(")?;
                Some(self.cursor.list(")", Cursor::ty)?)
            }
            false => None,
        };
        self.statements(&mut scope)?;
        let mut results = Vec::new();
        while !self.cursor.is_mark("}") {
            if !results.is_empty() {
                self.cursor.mark(",")?;
            }
            results.push(self.value(&scope)?);
        }
        self.cursor.mark("}")?;
        let region = Arc::new(scope.builder.finish(&results));
        if let Some(stated) = stated {
            self.check_types(position, stated, region.result_types())?;
        }
        let known = Known { region: region.clone(), depth: scope.depth, nodes: scope.nodes };
        self.regions.insert(name, known);
        Ok(region)
    }

    /// `graph(%0: type = role "name", …) { … return "name" = %1 alias "input", … }`
    fn graph(&mut self) -> Result<Graph, ParseError> {
        let start = self.cursor.position();
        self.cursor.next();
        self.cursor.mark("(")?;
        let mut scope = Scope::new();
        let mut inputs: Vec<Input> = Vec::new();
        while !self.cursor.eat(")") {
            self.param(&mut scope)?;
            self.cursor.mark("=")?;
            inputs.push(self.input()?);
            if !self.cursor.is_mark(")") {
                self.cursor.mark(",")?;
            }
        }
        self.statements(&mut scope)?;
        let (mut results, mut outputs) = (Vec::new(), Vec::new());
        while !self.cursor.is_mark("}") {
            if !results.is_empty() {
                self.cursor.mark(",")?;
            }
            let name = self.cursor.string("the output's name or `}`")?.into();
            self.cursor.mark("=")?;
            results.push(self.value(&scope)?);
            let alias = self.alias(&inputs)?;
            outputs.push(Output { name, alias });
        }
        self.cursor.mark("}")?;
        let graph = Graph { inputs, outputs, body: Arc::new(scope.builder.finish(&results)) };
        verify(&graph).map_err(|e| self.cursor.error_at(start, e))?;
        Ok(graph)
    }

    fn input(&mut self) -> Result<Input, ParseError> {
        let roles = [Role::Input, Role::Param, Role::State];
        let Some(role) = roles.into_iter().find(|r| self.cursor.is_word(r.name())) else {
            return Err(self.cursor.expected("`input`, `param` or `state`"));
        };
        self.cursor.next();
        Ok(Input { name: self.cursor.string("the input's name")?.into(), role })
    }

    fn alias(&mut self, inputs: &[Input]) -> Result<Option<usize>, ParseError> {
        if !self.cursor.eat_word("alias") {
            return Ok(None);
        }
        let position = self.cursor.position();
        let name = self.cursor.string("the name of the aliased input")?;
        match inputs.iter().position(|i| *i.name == *name) {
            Some(input) => Ok(Some(input)),
            None => Err(self.cursor.error_at(position, ParseErrorKind::Undefined(name))),
        }
    }

    fn param(&mut self, scope: &mut Scope<'t>) -> Result<(), ParseError> {
        let name = self.definition(scope)?;
        self.cursor.mark(":")?;
        let ty = self.cursor.ty()?;
        let value = scope.builder.param(ty);
        scope.values.insert(name, value);
        Ok(())
    }

    /// The name of a value being defined.
    fn definition(&mut self, scope: &Scope<'t>) -> Result<&'t str, ParseError> {
        let Kind::Value(name) = *self.cursor.peek() else {
            return Err(self.cursor.expected("a value, `%…`"));
        };
        if scope.values.contains_key(name) {
            return Err(self.cursor.error(ParseErrorKind::Redefined(format!("%{name}"))));
        }
        self.cursor.next();
        Ok(name)
    }

    /// The use of a value.
    fn value(&mut self, scope: &Scope<'t>) -> Result<Value, ParseError> {
        let Kind::Value(name) = *self.cursor.peek() else {
            return Err(self.cursor.expected("a value, `%…`"));
        };
        let Some(value) = scope.values.get(name) else {
            return Err(self.cursor.error(ParseErrorKind::Undefined(format!("%{name}"))));
        };
        self.cursor.next();
        Ok(*value)
    }

    /// Everything from the opening brace to the word `return`.
    fn statements(&mut self, scope: &mut Scope<'t>) -> Result<(), ParseError> {
        self.cursor.mark("{")?;
        while !self.cursor.eat_word("return") {
            self.statement(scope)?;
        }
        Ok(())
    }

    /// `%1, %2 = op[attr=…] %0, … : type, type loc("…")`
    fn statement(&mut self, scope: &mut Scope<'t>) -> Result<(), ParseError> {
        let names = self.definitions(scope)?;
        let position = self.cursor.position();
        let op = self.op(scope)?;
        let mut inputs = Vec::new();
        // A value on the next line starts the next statement: an op may have no operands.
        if matches!(self.cursor.peek(), Kind::Value(_)) && self.cursor.is_on_last_line() {
            inputs.push(self.value(scope)?);
            while self.cursor.eat(",") {
                inputs.push(self.value(scope)?);
            }
        }
        let stated_at = self.cursor.position();
        let mut stated = Vec::new();
        if self.cursor.eat(":") {
            stated.push(self.cursor.ty()?);
            while self.cursor.eat(",") {
                stated.push(self.cursor.ty()?);
            }
        }
        let site = self.site()?;
        scope.builder.set_site(site);
        let outputs = scope.builder.push_multi(op, &inputs).map_err(|e| self.cursor.error_at(position, e))?;
        if !stated.is_empty() {
            let inferred = outputs.iter().map(|v| scope.builder.ty(*v).clone()).collect();
            self.check_types(stated_at, stated, inferred)?;
        }
        if names.len() != outputs.len() {
            let expected = format!("{} names for the op's results", outputs.len());
            let kind = ParseErrorKind::Expected { expected, found: names.len().to_string() };
            return Err(self.cursor.error_at(position, kind));
        }
        scope.values.extend(names.into_iter().zip(outputs));
        scope.nodes += 1;
        Ok(())
    }

    /// The names before `=`, if any.
    fn definitions(&mut self, scope: &Scope<'t>) -> Result<Vec<&'t str>, ParseError> {
        let mut names: Vec<&'t str> = Vec::new();
        if !matches!(self.cursor.peek(), Kind::Value(_)) {
            return Ok(names);
        }
        loop {
            let position = self.cursor.position();
            let name = self.definition(scope)?;
            if names.contains(&name) {
                let twice = ParseErrorKind::Redefined(format!("%{name}"));
                return Err(self.cursor.error_at(position, twice));
            }
            names.push(name);
            if !self.cursor.eat(",") {
                self.cursor.mark("=")?;
                return Ok(names);
            }
        }
    }

    fn site(&mut self) -> Result<Site, ParseError> {
        if !self.cursor.eat_word("loc") {
            return Ok(Site::default());
        }
        self.cursor.mark("(")?;
        let path = self.cursor.string("the path of the place")?;
        self.cursor.mark(")")?;
        Ok(Site::new(&path))
    }

    /// `name[attr=value, …]`
    fn op(&mut self, scope: &mut Scope<'t>) -> Result<Op, ParseError> {
        let position = self.cursor.position();
        let name = self.cursor.word("a value, an op or `return`")?;
        let mut attrs = Attrs::none();
        if self.cursor.eat("[") {
            while !self.cursor.eat("]") {
                let attr = self.cursor.word("the attribute's name")?;
                self.cursor.mark("=")?;
                let value = self.attr(scope)?;
                attrs = attrs.with(attr, value);
                if !self.cursor.is_mark("]") && !self.cursor.eat(",") {
                    return Err(self.cursor.expected("`,` or `]`"));
                }
            }
        }
        match Op::parse(name, attrs) {
            Some(Ok(op)) => Ok(op),
            Some(Err(error)) => {
                let kind = ParseErrorKind::Attribute { op: name.to_owned(), error };
                Err(self.cursor.error_at(position, kind))
            }
            None => Err(self.cursor.error_at(position, ParseErrorKind::UnknownOp(name.to_owned()))),
        }
    }

    fn attr(&mut self, scope: &mut Scope<'t>) -> Result<Attr, ParseError> {
        if self.cursor.at_type() {
            return Ok(Attr::Tensor(self.cursor.tensor()?));
        }
        if self.cursor.at_lone_word() {
            return Ok(Attr::Word(self.cursor.word("a word")?.to_owned()));
        }
        if self.cursor.at_negative_float() {
            self.cursor.next();
            return Ok(Attr::Float(F64(-self.float()?)));
        }
        match *self.cursor.peek() {
            Kind::Float(_) | Kind::Hex(_) => Ok(Attr::Float(F64(self.float()?))),
            Kind::Mark("[") => {
                self.cursor.next();
                Ok(Attr::Dims(self.cursor.shape()?))
            }
            Kind::Region(name) => Ok(Attr::Region(self.known(name, scope)?)),
            _ => Ok(Attr::Dim(self.cursor.dim()?)),
        }
    }

    /// A float, or its bits.
    fn float(&mut self) -> Result<f64, ParseError> {
        let value = match *self.cursor.peek() {
            Kind::Float(text) => text.parse().ok(),
            Kind::Hex(digits) => u64::from_str_radix(digits, 16).ok().map(f64::from_bits),
            _ => None,
        };
        let value = value.ok_or_else(|| self.cursor.expected("a number or its 64 bits"))?;
        self.cursor.next();
        Ok(value)
    }

    /// The use of a region.
    fn known(&mut self, name: &str, scope: &mut Scope<'t>) -> Result<Arc<Region>, ParseError> {
        let Some(known) = self.regions.get(name) else {
            return Err(self.cursor.error(ParseErrorKind::Undefined(format!("@{name}"))));
        };
        scope.depth = scope.depth.max(known.depth + 1);
        scope.nodes += known.nodes;
        if scope.depth > MAX_DEPTH {
            return Err(self.cursor.limit("the depth of regions", MAX_DEPTH));
        }
        if scope.nodes > MAX_NODES {
            return Err(self.cursor.limit("the number of nodes", MAX_NODES));
        }
        self.cursor.next();
        Ok(known.region.clone())
    }

    fn check_types(
        &self,
        position: usize,
        stated: Vec<TensorType>,
        inferred: Vec<TensorType>,
    ) -> Result<(), ParseError> {
        if stated == inferred {
            return Ok(());
        }
        Err(self.cursor.error_at(position, ParseErrorKind::Stated { stated, inferred }))
    }
}
