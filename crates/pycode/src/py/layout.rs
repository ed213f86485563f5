//! Statements in lines, as ruff breaks them.

use super::{COMPARISON, Py, WIDTH, entry_key, infix_precedence, write_list};

/// Writes `{before}{expression}{after}` as one statement, broken into lines where it is too long.
pub(crate) fn statement(out: &mut String, indent: usize, before: &str, expression: &Py, after: &str) {
    let flat = format!("{before}{}{after}", expression.flat());
    if indent + flat.chars().count() <= WIDTH {
        line(out, indent, &flat);
        return;
    }
    let plain =
        |items: &[Py]| -> Vec<(String, Py)> { items.iter().map(|i| (String::new(), i.clone())).collect() };
    let (open, items, close) = match expression {
        Py::Call(..) if let Some((base, calls)) = fluent(expression) => {
            // An argument of a call is in parentheses as it is.
            let wrapped = before.ends_with(' ');
            let (head, inner) = if wrapped { ("", indent + 4) } else { (before, indent) };
            if wrapped {
                line(out, indent, &format!("{before}("));
            }
            statement(out, inner, head, base, "");
            for (i, link) in calls.iter().enumerate() {
                let tail = if i + 1 == calls.len() && !wrapped { after } else { "" };
                line(out, inner, &format!("{link}{tail}"));
            }
            if wrapped {
                line(out, indent, &format!("){after}"));
            }
            return;
        }
        // Of two calls in a row the last is broken, if that is enough.
        Py::Call(function, args)
            if let Py::Attribute(value, name) = &**function
                && matches!(**value, Py::Call(..))
                && indent + before.chars().count() + function.len() >= WIDTH =>
        {
            let mut last = format!(".{name}");
            write_list(&mut last, "(", args, ")");
            return statement(out, indent, before, value, &format!("{last}{after}"));
        }
        Py::Call(function, args) if !args.is_empty() => (format!("{}(", function.flat()), plain(args), ")"),
        Py::Tuple(items) => ("(".to_owned(), plain(items), ")"),
        Py::List(items) => ("[".to_owned(), plain(items), "]"),
        Py::Dict(items) => {
            let entry = |(key, value): &(String, Py)| (entry_key(key, value), value.clone());
            ("{".to_owned(), items.iter().map(entry).collect(), "}")
        }
        // After two calls in a row the index is what is broken, if that is enough.
        Py::Index(value, items)
            if matches!(**value, Py::Call(..))
                && !(follows_call(value) && indent + before.chars().count() + value.len() < WIDTH) =>
        {
            let mut entries = String::new();
            write_list(&mut entries, "[", items, "]");
            return statement(out, indent, before, value, &format!("{entries}{after}"));
        }
        Py::Index(value, items) => {
            let mut open = String::new();
            value.write_at(&mut open, 14);
            (open + "[", plain(items), "]")
        }
        Py::Keyword(name, value) => {
            return statement(out, indent, &format!("{before}{name}="), value, after);
        }
        Py::Infix(left, operator, right) if right.precedence() <= infix_precedence(operator) => {
            // An operand in parentheses at the end is what is broken, if that is enough.
            let mut head = before.to_owned();
            left.write_at(&mut head, infix_precedence(operator));
            head.push_str(&format!(" {operator} ("));
            let inner = right.flat();
            let fits = |indent: usize, text: &str| indent + text.chars().count() <= WIDTH;
            if fits(indent, &head) && fits(indent + 4, &inner) {
                line(out, indent, &head);
                line(out, indent + 4, &inner);
                return line(out, indent, &format!("){after}"));
            }
            return in_parentheses(out, indent, before, expression, after);
        }
        // So is the call after the only operator.
        Py::Infix(left, operator, right)
            if matches!(&**right, Py::Call(_, args) if !args.is_empty())
                && fluent(right).is_none()
                && infix_precedence(operator) != left.precedence() =>
        {
            let mut head = before.to_owned();
            left.write_at(&mut head, infix_precedence(operator));
            head.push_str(&format!(" {operator} "));
            let (text, column) = (right.flat(), indent + head.chars().count());
            let reaches = |bracket: Option<usize>| bracket.is_none_or(|at| column + at < WIDTH);
            if reaches(text.find('(')) {
                return statement(out, indent, &head, right, after);
            }
            // Or the index before it, as in `x.at[i].add(y)`.
            if let Py::Call(function, args) = &**right
                && let Py::Attribute(value, name) = &**function
                && let Py::Index(of, items) = &**value
                && reaches(text.find('['))
            {
                let mut last = format!("].{name}");
                write_list(&mut last, "(", args, ")");
                let items: Vec<(String, Py)> = items.iter().map(|i| (String::new(), i.clone())).collect();
                return broken(out, indent, &format!("{head}{}[", of.flat()), &items, &(last + after));
            }
            return in_parentheses(out, indent, before, expression, after);
        }
        _ => return in_parentheses(out, indent, before, expression, after),
    };
    broken(out, indent, &format!("{before}{open}"), &items, &format!("{close}{after}"));
}

/// `{before}(`, the operands, `){after}`.
fn in_parentheses(out: &mut String, indent: usize, before: &str, expression: &Py, after: &str) {
    line(out, indent, &format!("{before}("));
    operands(out, indent + 4, expression);
    line(out, indent, &format!("){after}"));
}

/// Calls of several methods in a row on what a call gave: what they begin with, and each as `.method(…)`.
fn fluent(expression: &Py) -> Option<(&Py, Vec<String>)> {
    let (mut base, mut calls) = (expression, Vec::new());
    while let Py::Call(function, args) = base
        && let Py::Attribute(value, name) = &**function
        && matches!(**value, Py::Call(..) | Py::Index(..))
    {
        let mut link = format!(".{name}");
        write_list(&mut link, "(", args, ")");
        calls.insert(0, link);
        base = value;
    }
    (calls.len() > 1).then_some((base, calls))
}

/// Whether this is a call of a method on what a call gave.
fn follows_call(expression: &Py) -> bool {
    matches!(expression, Py::Call(function, _)
        if matches!(&**function, Py::Attribute(value, _) if matches!(**value, Py::Call(..))))
}

/// The items of a bracket on a line of their own, or each on its own.
fn broken(out: &mut String, indent: usize, head: &str, items: &[(String, Py)], tail: &str) {
    line(out, indent, head);
    let joined =
        items.iter().map(|(key, item)| format!("{key}{}", item.flat())).collect::<Vec<_>>().join(", ");
    if indent + 4 + joined.chars().count() <= WIDTH {
        line(out, indent + 4, &joined);
    } else {
        // The only argument of a call is followed by no comma.
        let call = head.ends_with('(') && !head.ends_with(" (");
        let comma = if call && items.len() == 1 { "" } else { "," };
        for (key, item) in items {
            statement(out, indent + 4, key, item, comma);
        }
    }
    line(out, indent, tail);
}

/// The operands of the loosest operator, each on a line that begins with the operator.
fn operands(out: &mut String, indent: usize, expression: &Py) {
    let flat = expression.flat();
    let Py::Infix(left, operator, right) = expression else {
        return line(out, indent, &flat);
    };
    if indent + flat.chars().count() <= WIDTH {
        return line(out, indent, &flat);
    }
    chain(out, indent, left, operator, right);
}

/// The operands of one precedence, a line each.
fn chain(out: &mut String, indent: usize, left: &Py, operator: &str, right: &Py) {
    let own = infix_precedence(operator);
    let operand = |out: &mut String, before: &str, value: &Py, precedence: u8| {
        let mut text = before.to_owned();
        value.write_at(&mut text, precedence);
        match value {
            Py::Call(..) | Py::Index(..) if indent + text.chars().count() > WIDTH => {
                statement(out, indent, before, value, "");
            }
            _ => line(out, indent, &text),
        }
    };
    match left {
        Py::Infix(first, other, second) if infix_precedence(other) == own && own != COMPARISON => {
            chain(out, indent, first, other, second);
        }
        left => operand(out, "", left, own),
    }
    operand(out, &format!("{operator} "), right, own + 1);
}

/// Writes one line.
pub(crate) fn line(out: &mut String, indent: usize, text: &str) {
    if !text.is_empty() {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str(text);
    }
    out.push('\n');
}
