/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/core/error.h"

const char *wire_code(int code)
{
	const char *name = strerrorname_np(-code);

	return name ? name : "EIO";
}

/* ---- in ---- */

static int wrong_type(const struct control_field *field, struct error *err)
{
	static const char *const what[] = {[CONTROL_FLAG] = "true or false",
		[CONTROL_NUMBER] = "a number that is not negative",
		[CONTROL_TEXT] = "a short string",
		[CONTROL_FD] = "the place of a descriptor that comes with the line"};

	return error_set(err, -EINVAL, "%s: not %s", field->name, what[field->type]);
}

static int take_fd(const struct control_field *field, const json_t *json, int *fds,
	unsigned int num_fds, struct control_value *value, struct error *err)
{
	json_int_t i = json_is_integer(json) ? json_integer_value(json) : -1;

	if (i < 0 || i >= (json_int_t)num_fds || fds[i] < 0)
		return wrong_type(field, err);
	value->fd = fds[i];
	fds[i] = -1;
	return 0;
}

static int parse_value(const struct control_field *field, const json_t *json, int *fds,
	unsigned int num_fds, struct control_value *value, struct error *err)
{
	value->given = true;
	switch (field->type) {
	case CONTROL_FLAG:
		value->number = json_is_true(json);
		return json_is_boolean(json) ? 0 : wrong_type(field, err);
	case CONTROL_NUMBER:
		if (!json_is_integer(json) || json_integer_value(json) < 0)
			return wrong_type(field, err);
		value->number = (uint64_t)json_integer_value(json);
		return 0;
	case CONTROL_TEXT:
		if (!json_is_string(json) || json_string_length(json) > CONTROL_MAX_TEXT)
			return wrong_type(field, err);
		value->text = json_string_value(json);
		return 0;
	case CONTROL_FD:
		return take_fd(field, json, fds, num_fds, value, err);
	}
	return -EINVAL;
}

static const struct control_field *find_field(
	const struct control_command *command, const char *name, unsigned int *i)
{
	for (*i = 0; *i < command->num_fields; ++*i)
		if (!strcmp(command->fields[*i].name, name))
			return &command->fields[*i];
	return NULL;
}

static int parse_args(struct wire_request *request, json_t *args, int *fds, unsigned int num_fds,
	struct error *err)
{
	const struct control_command *command = request->command;
	const char *name;
	json_t *value;
	unsigned int i;
	int rc = 0;

	json_object_foreach(args, name, value)
	{
		const struct control_field *field = find_field(command, name, &i);

		if (!field)
			return error_set(err, -EINVAL, "%s takes no '%.64s'", command->name, name);
		rc = parse_value(field, value, fds, num_fds, &request->args[i], err);
		if (rc < 0)
			return rc;
	}
	for (i = 0; i < command->num_fields; i++)
		if (command->fields[i].required && !request->args[i].given)
			return error_set(err, -EINVAL, "%s needs '%s'", command->name,
				command->fields[i].name);
	return 0;
}

static int parse_object(const struct control *control, struct wire_request *request, int *fds,
	unsigned int num_fds, struct error *err)
{
	json_t *id = json_object_get(request->json, "id");
	json_t *name = json_object_get(request->json, "command");
	json_t *args = json_object_get(request->json, "args");

	if (!json_is_integer(id) || json_integer_value(id) < 0)
		return error_set(err, -EINVAL, "a request needs an id, which is a number");
	request->id = (uint64_t)json_integer_value(id);
	if (!json_is_string(name))
		return error_set(err, -EINVAL, "a request needs a command");
	request->command = control_find(control, json_string_value(name));
	if (!request->command)
		return error_set(err, -ENOENT, "no such command: %.64s", json_string_value(name));
	if (args && !json_is_object(args))
		return error_set(err, -EINVAL, "args: not an object");
	return parse_args(request, args, fds, num_fds, err);
}

int wire_parse(const struct control *control, const char *line, size_t len, int *fds,
	unsigned int num_fds, struct wire_request *request, struct error *err)
{
	json_error_t why;

	*request = (struct wire_request){0};
	for (unsigned int i = 0; i < ARRAY_SIZE(request->args); i++)
		request->args[i].fd = -1;
	request->json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!request->json)
		return error_set(err, -EINVAL, "not a line of JSON: %s", why.text);
	if (!json_is_object(request->json))
		return error_set(err, -EINVAL, "not an object");
	return parse_object(control, request, fds, num_fds, err);
}

/* ---- out ---- */

static void add(struct wire_result *result, const char *key, json_t *value)
{
	json_t *top = result->levels[result->depth - 1];

	if (json_is_array(top))
		json_array_append_new(top, value);
	else
		json_object_set_new(top, key ? key : "", value);
}

static void begin(struct wire_result *result)
{
	if (!result->depth)
		result->levels[result->depth++] = json_object();
}

void wire_put(struct wire_result *result, const char *key, json_t *value)
{
	begin(result);
	add(result, key, value);
}

void wire_open(struct wire_result *result, const char *key, bool list)
{
	json_t *value = list ? json_array() : json_object();

	wire_put(result, key, value);
	if (result->depth < WIRE_MAX_DEPTH)
		result->levels[result->depth++] = value;
}

void wire_close(struct wire_result *result)
{
	if (result->depth > 1)
		result->depth--;
}

/* JSON is UTF-8; a path or a guest's word need not be. */
json_t *wire_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy, *p;

	if (json)
		return json;
	copy = strdup(text);
	for (p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	json = copy ? json_string(copy) : NULL;
	free(copy);
	return json ? json : json_null();
}

json_t *wire_take(struct wire_result *result)
{
	begin(result);
	result->depth = 0;
	return result->levels[0];
}
