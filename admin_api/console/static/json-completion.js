// SPDX-License-Identifier: GPL-3.0-or-later
// What may stand at a place of a JSON text, by its JSON Schema (2020-12, as far as schemas of rules use it).

const MAX_DEPTH = 32; // of references that are followed

// Returns where `end` is in `text`: the open containers from the outside in, each with the key whose value the next one
// is, and with the scalar members that stand before; the text of the string that is being typed, or null.
export function placeOf(text, end) {
  const open = [];
  let last = null; // the last whole string
  let i = 0;
  while (i < end) {
    const at = open.at(-1);
    const char = text[i];
    if (char === '"') {
      const close = endOfString(text, i + 1);
      if (close >= end) return { open, typed: text.slice(i + 1, end), start: i };
      last = text.slice(i + 1, close);
      if (at && at.key !== null && at.kind === "{") at.members[at.key] = last;
      i = close;
    } else if (char === "{" || char === "[") {
      open.push({ kind: char, key: null, members: Object.create(null) });
    } else if (char === "}" || char === "]") {
      open.pop();
    } else if (char === ":" && at) {
      at.key = last;
      at.members[last] ??= undefined;
    } else if (char === "," && at) {
      at.key = null;
    }
    i += 1;
  }
  return { open, typed: null, start: end };
}

function endOfString(text, from) {
  let i = from;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i;
}

// Returns proposals for the place, as JSON texts: names of members, or the values that a member may have.
export function propose(schema, { open, typed }) {
  let schemas = expand(schema, schema);
  for (const [i, container] of open.entries()) {
    schemas = schemas.filter((one) => agrees(schema, one, container.members));
    if (i === open.length - 1) break;
    schemas = schemas.flatMap((one) => inside(schema, one, container));
  }
  const at = open.at(-1);
  if (!at) return [];
  const found = at.kind === "{" && at.key === null
    ? schemas.flatMap((one) => Object.keys(one.properties ?? {})).filter((name) => !(name in at.members))
    : schemas.flatMap((one) => inside(schema, one, at)).flatMap(values);
  const texts = [...new Set(found)].filter((value) => typed === null || String(value).startsWith(typed));
  return texts.filter((value) => value !== typed).sort().map((value) => JSON.stringify(value));
}

// The schemas of what a container has at its key, or of its items.
function inside(root, schema, { kind, key }) {
  const inner = kind === "[" ? schema.items : schema.properties?.[key] ?? schema.additionalProperties;
  return typeof inner === "object" ? expand(root, inner) : [];
}

// Follows references and alternatives until plain schemas are left.
function expand(root, schema, depth = 0) {
  if (depth > MAX_DEPTH) return [];
  if (schema.$ref) {
    const target = schema.$ref.split("/").slice(1).reduce((node, part) => node?.[part], root);
    return target ? expand(root, target, depth + 1) : [];
  }
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  return choices ? choices.flatMap((one) => expand(root, one, depth + 1)) : [schema];
}

// False for an alternative whose fixed members are not those that stand in the text.
function agrees(root, schema, members) {
  return Object.entries(members).every(([name, value]) => {
    if (value === undefined || !schema.properties?.[name]) return true;
    const allowed = expand(root, schema.properties[name]).flatMap(values);
    return allowed.length === 0 || allowed.includes(value);
  });
}

function values(schema) {
  if ("const" in schema) return [schema.const];
  if (schema.enum) return schema.enum;
  return schema.type === "boolean" ? [true, false] : [];
}
