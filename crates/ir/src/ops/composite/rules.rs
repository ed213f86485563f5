//! Rules of composites. TEMP
use super::*;
pub(super) fn eval(_: &Composite, _: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
    unimplemented!()
}
pub(super) fn vjp(_: &Composite, _: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    unimplemented!()
}
pub(super) fn jvp(_: &Composite, _: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
    unimplemented!()
}
pub(super) fn batch(_: &Composite, _: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
    unimplemented!()
}
