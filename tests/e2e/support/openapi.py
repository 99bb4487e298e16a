"""openapi: an OpenAPI 3.1 document as a judge: whether it is one, and whether answers are what it says."""
import json
import re
import warnings

import yaml
from support.story import is_true, same

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from jsonschema import Draft202012Validator, RefResolver

# What OpenAPI 3.1 lets an object have; ! must be there. A text names another object, [] and {} a list and a map of them.
OBJECTS = {
    "document": {"openapi!": None, "info!": "info", "servers": ["server"], "paths": {"": "path"}, "webhooks": {"": "path"},
                 "components": "components", "security": None, "tags": ["tag"]},
    "info": {"title!": None, "version!": None, "summary": None, "description": None, "license": None, "contact": None},
    "server": {"url!": None, "description": None},
    "tag": {"name!": None, "description": None},
    "path": {"summary": None, "description": None, "parameters": ["parameter"], "get": "operation", "put": "operation",
             "post": "operation", "delete": "operation", "options": "operation", "head": "operation", "patch": "operation"},
    "operation": {"operationId!": None, "responses!": {"": "response"}, "tags": None, "summary": None, "description": None,
                  "parameters": ["parameter"], "requestBody": "body", "security": None, "deprecated": None},
    "parameter": {"name!": None, "in!": None, "schema!": "schema", "description": None, "required": None},
    "body": {"content!": {"": "media"}, "required": None, "description": None},
    "response": {"description!": None, "headers": {"": "header"}, "content": {"": "media"}},
    "header": {"schema!": "schema", "required": None, "description": None},
    "media": {"schema": "schema", "examples": {"": "example"}},
    "example": {"value!": None, "summary": None, "description": None},
    "components": {"securitySchemes": {"": "scheme"}, "parameters": {"": "parameter"}, "headers": {"": "header"},
                   "responses": {"": "response"}, "schemas": {"": "schema"}},
    "scheme": {"type!": None, "scheme": None, "bearerFormat": None, "in": None, "name": None, "description": None},
}
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")

# What HTTP itself and browsers are told, on any answer.
GENERIC = {"date", "server", "connection", "content-length", "content-type", "transfer-encoding", "content-encoding", "vary",
           "x-content-type-options"}


class Strict(yaml.SafeLoader):
    """YAML in which no key is there twice, and keys are text."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        same(len(set(keys)), len(keys), "keys of %r at line %d" % (keys, node.start_mark.line + 1))
        return super().construct_mapping(node, deep)


class Document:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.root = yaml.load(file, Strict)
        self.resolver = RefResolver.from_schema(self.root)
        self.used = set()
        self.validators = {}
        self.seen = set()  # (operation, status, code)

    def at(self, thing):
        """What is meant: a reference is followed."""
        while isinstance(thing, dict) and "$ref" in thing:
            self.used.add(thing["$ref"])
            thing = self.resolver.resolve(thing["$ref"])[1]
        return thing

    def faults(self, schema, value):
        """What the schema has against the value."""
        key = id(schema)
        if key not in self.validators:
            self.validators[key] = Draft202012Validator(schema, resolver=self.resolver)
        return ["%s: %s" % (error.json_path, error.message[:300]) for error in self.validators[key].iter_errors(value)]

    # --- is it a document ---

    def check(self):
        is_true(re.fullmatch(r"3\.1\.[0-9]+", self.root["openapi"]), "openapi: %s", self.root["openapi"])
        self._check("document", self.root, "#")
        names = [operation["operationId"] for _, _, operation in self.operations()]
        same(len(set(names)), len(names), "operationIds that differ")
        for path, method, operation in self.operations():
            self._check_operation(path, method, operation)
        for kind in ("parameters", "headers", "responses", "schemas"):
            for name in self.root["components"][kind]:
                used = "#/components/%s/%s" % (kind, name) in self.used or name in ("NotFound", "MethodNotAllowed")
                is_true(used, "nothing uses the %s %s", kind, name)

    def _check(self, kind, value, where):
        if kind is None:
            return
        if isinstance(kind, list):
            for number, item in enumerate(value):
                self._check(kind[0], item, "%s/%d" % (where, number))
            return
        if isinstance(kind, dict):
            for name, item in value.items():
                is_true(isinstance(name, str), "%s: the key %r is no text", where, name)
                self._check(kind[""], item, where + "/" + name)
            return
        if "$ref" in value and kind != "schema":
            same(set(value), {"$ref"}, where + ": beside a reference")
            self.at(value)
            return
        if kind == "schema":
            self._check_schema(value, where)
            return
        fields = OBJECTS[kind]
        for name in value:
            is_true(name in fields or name + "! " in fields or name + "!" in fields, "%s: %s has no %s", where, kind, name)
        for name, inner in fields.items():
            if name.endswith("!"):
                is_true(name[:-1] in value, "%s: a %s needs %s", where, kind, name[:-1])
            if name.rstrip("!") in value:
                self._check(inner, value[name.rstrip("!")], where + "/" + name.rstrip("!"))
        for name, example in value.get("examples", {}).items() if kind == "media" else ():
            same(self.faults(value["schema"], example["value"]), [], "%s: example %s" % (where, name))

    def _check_schema(self, schema, where):
        Draft202012Validator.check_schema(schema)
        for inner in walk(schema):
            if "$ref" in inner:
                self.at({"$ref": inner["$ref"]})
            if "properties" in inner and "required" in inner and "allOf" not in inner:
                is_true(set(inner["required"]) <= set(inner["properties"]), "%s: requires what it has not: %s", where, inner["required"])

    def _check_operation(self, path, method, operation):
        item = self.root["paths"].get(path) or self.root["webhooks"][path]
        parameters = [self.at(p) for p in item.get("parameters", []) + operation.get("parameters", [])]
        same(sorted(p["name"] for p in parameters if p["in"] == "path"), sorted(re.findall(r"{(\w+)}", path)), "parameters of " + path)
        is_true(all(p.get("required") for p in parameters if p["in"] == "path"), "%s: a path's parameters are required", path)
        for status in operation["responses"]:
            is_true(re.fullmatch(r"[1-5](\d\d|XX)|default", status), "%s %s: status %s", method, path, status)
        tags = [tag["name"] for tag in self.root["tags"]]
        is_true(set(operation.get("tags", [])) <= set(tags), "%s %s: tags %s", method, path, operation.get("tags"))
        for choice in operation.get("security", self.root["security"]):
            is_true(set(choice) <= set(self.root["components"]["securitySchemes"]), "%s %s: security %s", method, path, choice)

    def operations(self):
        for paths in (self.root["paths"], self.root["webhooks"]):
            for path, item in paths.items():
                for method in METHODS:
                    if method in item:
                        yield path, method, item[method]

    # --- what it says ---

    def documented(self, operation):
        """All (status, code) of an operation; the code is None for what is no problem."""
        for status, response in operation["responses"].items():
            codes = [None]
            for media in self.at(response).get("content", {}).values():
                schema = media.get("schema", {})
                schemas = schema.get("oneOf", [schema])
                found = [self.at(s).get("properties", {}).get("code", {}).get("const") for s in schemas]
                codes = sorted(set(found)) if all(found) else codes
            for code in codes:
                yield int(status), code

    def find(self, method, target):
        path = target.split("?")[0]
        for template, item in sorted(self.root["paths"].items(), key=lambda found: found[0].count("{")):
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
                return item.get(method.lower())
        return None

    # --- whether an answer is what it says ---

    def judge(self, method, target, answer):
        """Compares the answer with the operation's, and remembers that it was seen."""
        operation = self.find(method, target)
        is_true(operation is not None, "%s %s is not documented, and gives %d", method, target, answer.status)
        what = "%s %s: %d" % (operation["operationId"], target[:100], answer.status)
        response = operation["responses"].get(str(answer.status))
        is_true(response is not None, "%s is not documented: %s", what, answer.body[:500])
        code = self.judge_response(self.at(response), method, answer, what)
        self.seen.add((operation["operationId"], answer.status, code))

    def judge_response(self, response, method, answer, what):
        """Returns the problem's code."""
        self._judge_headers(response.get("headers", {}), answer, what)
        kind = answer.header("content-type")
        content = response.get("content", {})
        is_true((kind in content or "*/*" in content) if content else kind is None, "%s: Content-Type %s of %s", what, kind, list(content))
        if method == "HEAD" or not content:
            same(answer.body, b"", what + ": body")
            return None
        if kind == "text/event-stream" or "*/*" in content:
            return None
        values = answer.lines() if kind == "application/x-ndjson" else [answer.json()]
        for value in values:
            same(self.faults(content[kind]["schema"], value), [], "%s: faults of %s" % (what, json.dumps(value)[:1500]))
        return values[0].get("code") if kind == "application/problem+json" else None

    def _judge_headers(self, headers, answer, what):
        documented = {name.lower(): self.at(header) for name, header in headers.items()}
        given = {name for name, _ in answer.headers}
        same(given - GENERIC - set(documented), set(), what + ": headers that are not documented")
        for name, header in documented.items():
            value = answer.header(name)
            is_true(value is not None or not header.get("required"), "%s: no header %s", what, name)
            if value is not None and header["schema"].get("type") == "integer":
                value = int(value)
            if value is not None:
                same(self.faults(header["schema"], value), [], "%s: header %s" % (what, name))


def walk(schema):
    """The schema and all within it."""
    if isinstance(schema, dict):
        yield schema
        for inner in schema.values():
            yield from walk(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from walk(inner)
