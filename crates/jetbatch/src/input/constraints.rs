//! Whether the constraints of an input compile, each distinct one found out once.
use domain::{
    limits::CONSTRAINTS_CHECKED_MAX,
    request::{Body, Constraint, Refusal},
};
use std::collections::HashMap;

/// Compiles a constraint for nobody, to learn why it would be refused.
pub type Compile = fn(&Constraint) -> Result<(), Refusal>;

/// Bounded: what is beyond the bound is left to the workers, as is what only a model's own vocabulary tells.
#[derive(Debug)]
pub struct Constraints {
    compile: Compile,
    known: HashMap<Constraint, Option<Refusal>>,
}

impl Constraints {
    pub fn new(compile: Compile) -> Self {
        Self { compile, known: HashMap::new() }
    }

    /// Why no engine will take the body's constraint.
    pub fn refusal(&mut self, body: &Body) -> Option<Refusal> {
        let constraint = body.constraint.as_ref()?;
        if let Some(known) = self.known.get(constraint) {
            return known.clone();
        }
        if self.known.len() == CONSTRAINTS_CHECKED_MAX {
            return None;
        }
        let refusal = (self.compile)(constraint).err();
        self.known.insert(constraint.clone(), refusal.clone());
        refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::request::{Endpoint, Grammar};
    use std::cell::Cell;

    thread_local!(static COMPILED: Cell<usize> = const { Cell::new(0) });

    fn compile(constraint: &Constraint) -> Result<(), Refusal> {
        COMPILED.set(COMPILED.get() + 1);
        match &constraint.grammar {
            Grammar::Regex(text) if text.starts_with('(') => Err(Refusal::invalid(constraint.param, "it is open")),
            _ => Ok(()),
        }
    }

    fn body(regex: &str) -> Body {
        let text = serde_json::json!({"prompt": "x", "guided_regex": regex}).to_string();
        Body::read(Endpoint::Completions, text.as_bytes()).unwrap()
    }

    #[test]
    fn each_is_compiled_once_and_no_more_than_so_many() {
        let mut constraints = Constraints::new(compile);
        for _ in 0..3 {
            assert_eq!(constraints.refusal(&body("a+")), None);
            assert_eq!(constraints.refusal(&body("(")).unwrap().param.as_deref(), Some("guided_regex"));
        }
        assert_eq!(COMPILED.get(), 2);
        for n in 0..CONSTRAINTS_CHECKED_MAX + 5 {
            constraints.refusal(&body(&format!("({n}")));
        }
        assert_eq!(COMPILED.get(), CONSTRAINTS_CHECKED_MAX);
    }
}
