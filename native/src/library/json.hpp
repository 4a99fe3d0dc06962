// A strict reader of JSON (RFC 8259), with NaN and Infinity, which Python writes, besides.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tribond {

class Json {
public:
    enum class Kind { null, boolean, integer, number, string, array, object };

    Kind kind = Kind::null;
    bool boolean = false;
    int64_t integer = 0;
    double number = 0;  // of integers, too
    std::string string;
    std::vector<Json> items;                             // of an array
    std::vector<std::pair<std::string, Json>> members;   // of an object, in order, each name once

    const Json* find(const std::string& name) const;

    // Throws std::invalid_argument, which says what is wrong where.
    static Json parse(const std::string& text);
};

// Whether the bytes are letters in UTF-8.
bool valid_utf8(const std::string& text);

}  // namespace tribond
