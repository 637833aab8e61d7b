from pydantic import SecretStr

from common.redaction import MAX_CHARACTERS, printable, redact


def test_secrets_are_masked_also_where_they_stand_in_a_url() -> None:
    secrets = [SecretStr("a b/c"), None, SecretStr("")]
    assert redact("a b/c, a%20b%2Fc and a+b%2Fc", secrets) == "***, *** and ***"
    assert redact("nothing secret", secrets) == "nothing secret"


def test_a_text_of_others_is_one_line_that_no_terminal_interprets() -> None:
    assert printable("  two\nlines\t\x1b[31mred\x07 ") == "two lines ?[31mred?"
    assert printable("ü€") == "ü€"
    assert len(printable("x" * 1000)) == MAX_CHARACTERS
