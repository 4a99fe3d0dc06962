#include "library/json.hpp"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>
#include <stdexcept>

namespace tribond {
namespace {

constexpr int DEEPEST = 100;  // arrays in arrays: more would be an attack on the stack

class Parser {
public:
    explicit Parser(const std::string& text) : text_(text) {}

    Json whole() {
        Json value = parse(0);
        skip_space();
        if (at_ != text_.size()) fail("something after the end");
        return value;
    }

private:
    [[noreturn]] void fail(const char* what) const {
        throw std::invalid_argument(std::string(what) + " at letter " + std::to_string(at_));
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    void skip_space() {
        while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr && text_[at_] != '\0') ++at_;
    }

    bool take(char wanted) {
        if (at_ >= text_.size() || text_[at_] != wanted) return false;
        ++at_;
        return true;
    }

    bool take_word(const char* word) {
        if (text_.compare(at_, std::strlen(word), word) != 0) return false;
        at_ += std::strlen(word);
        return true;
    }

    Json parse(int depth) {
        if (depth > DEEPEST) fail("too many brackets within brackets");
        skip_space();
        Json value;
        if (take('{')) parse_object(value, depth);
        else if (take('[')) parse_array(value, depth);
        else if (take('"')) value.kind = Json::Kind::string, value.string = rest_of_string();
        else if (take_word("null")) value.kind = Json::Kind::null;
        else if (take_word("true")) value.kind = Json::Kind::boolean, value.boolean = true;
        else if (take_word("false")) value.kind = Json::Kind::boolean, value.boolean = false;
        else if (take_word("NaN")) value.kind = Json::Kind::number, value.number = std::numeric_limits<double>::quiet_NaN();
        else if (take_word("Infinity")) value.kind = Json::Kind::number, value.number = HUGE_VAL;
        else if (take_word("-Infinity")) value.kind = Json::Kind::number, value.number = -HUGE_VAL;
        else parse_number(value);
        return value;
    }

    void parse_object(Json& value, int depth) {
        value.kind = Json::Kind::object;
        std::set<std::string> seen;
        skip_space();
        if (take('}')) return;
        do {
            skip_space();
            if (!take('"')) fail("no name of a member");
            std::string name = rest_of_string();
            if (!seen.insert(name).second) fail("the same name twice");
            skip_space();
            if (!take(':')) fail("no colon");
            value.members.emplace_back(std::move(name), parse(depth + 1));
            skip_space();
        } while (take(','));
        if (!take('}')) fail("an object without an end");
    }

    void parse_array(Json& value, int depth) {
        value.kind = Json::Kind::array;
        skip_space();
        if (take(']')) return;
        do {
            value.items.push_back(parse(depth + 1));
            skip_space();
        } while (take(','));
        if (!take(']')) fail("an array without an end");
    }

    bool digits() {
        const size_t first = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ > first;
    }

    void parse_number(Json& value) {
        const size_t first = at_;
        bool whole = true;
        take('-');
        if (take('0')) {
            if (peek() >= '0' && peek() <= '9') fail("a number that starts with 0");
        } else if (!digits()) fail("no value");
        if (take('.')) {
            whole = false;
            if (!digits()) fail("no digit after the point");
        }
        if (take('e') || take('E')) {
            whole = false;
            if (!take('+')) take('-');
            if (!digits()) fail("no digit in the exponent");
        }
        const std::string digits_of_it = text_.substr(first, at_ - first);
        value.number = to_double(digits_of_it);
        value.kind = Json::Kind::number;
        if (!whole) return;
        errno = 0;
        value.integer = std::strtoll(digits_of_it.c_str(), nullptr, 10);
        if (errno == 0) value.kind = Json::Kind::integer;  // larger ones are numbers
    }

    // Not strtod, which follows the locale that a program may have set: some have a comma for a point.
    static double to_double(const std::string& digits);

    unsigned hexadecimal() {
        unsigned code = 0;
        for (int i = 0; i < 4; ++i) {
            const char c = peek();
            if (c >= '0' && c <= '9') code = 16 * code + unsigned(c - '0');
            else if (c >= 'a' && c <= 'f') code = 16 * code + unsigned(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F') code = 16 * code + unsigned(c - 'A' + 10);
            else fail("no hexadecimal digit");
            ++at_;
        }
        return code;
    }

    static void append_utf8(std::string& to, unsigned code) {
        if (code < 0x80) to += char(code);
        else if (code < 0x800) to += char(0xC0 | code >> 6), to += char(0x80 | (code & 63));
        else if (code < 0x10000) to += char(0xE0 | code >> 12), to += char(0x80 | (code >> 6 & 63)), to += char(0x80 | (code & 63));
        else {
            to += char(0xF0 | code >> 18), to += char(0x80 | (code >> 12 & 63));
            to += char(0x80 | (code >> 6 & 63)), to += char(0x80 | (code & 63));
        }
    }

    std::string rest_of_string() {
        std::string result;
        for (;;) {
            if (at_ >= text_.size()) fail("a string without an end");
            const char c = text_[at_++];
            if (c == '"') return result;
            if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
            if (c != '\\') {
                result += c;
                continue;
            }
            const char escaped = peek();
            ++at_;
            switch (escaped) {
            case '"': case '\\': case '/': result += escaped; break;
            case 'b': result += '\b'; break;
            case 'f': result += '\f'; break;
            case 'n': result += '\n'; break;
            case 'r': result += '\r'; break;
            case 't': result += '\t'; break;
            case 'u': {
                unsigned code = hexadecimal();
                if (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
                    if (!take('\\') || !take('u')) fail("half a character");
                    const unsigned second = hexadecimal();
                    if (second < 0xDC00 || second > 0xDFFF) fail("half a character");
                    code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
                } else if (code >= 0xDC00 && code <= 0xDFFF) fail("half a character");
                append_utf8(result, code);
                break;
            }
            default: fail("an unknown escape");
            }
        }
    }

    const std::string& text_;
    size_t at_ = 0;
};

double Parser::to_double(const std::string& digits) {
    // strtod with the point that this locale has.
    char point[8];
    std::snprintf(point, sizeof point, "%.1f", 0.5);
    std::string local = digits;
    const size_t at = local.find('.');
    if (at != std::string::npos) local.replace(at, 1, std::string(point + 1, std::strlen(point) - 2));
    return std::strtod(local.c_str(), nullptr);
}

}  // namespace

const Json* Json::find(const std::string& name) const {
    for (const auto& member : members)
        if (member.first == name) return &member.second;
    return nullptr;
}

Json Json::parse(const std::string& text) {
    if (!valid_utf8(text)) throw std::invalid_argument("its letters are not UTF-8");
    return Parser(text).whole();
}

bool valid_utf8(const std::string& text) {
    for (size_t at = 0; at < text.size();) {
        const unsigned first = static_cast<unsigned char>(text[at++]);
        const int more = first < 0x80 ? 0 : first < 0xC2 ? -1 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : -1;
        if (more < 0 || text.size() - at < size_t(more)) return false;
        unsigned code = more == 0 ? first : first & (0x3Fu >> more);
        for (int i = 0; i < more; ++i) {
            const unsigned next = static_cast<unsigned char>(text[at++]);
            if ((next & 0xC0) != 0x80) return false;
            code = code << 6 | (next & 0x3F);
        }
        const bool longer_than_needed = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
        if (longer_than_needed || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    }
    return true;
}

}  // namespace tribond
