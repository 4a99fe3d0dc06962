// What goes wrong, as one of the codes of tribond.h and a sentence for the user.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "tribond.h"

namespace tribond {

struct Error : std::exception {
    int code;
    std::string text;

    Error(int code_, std::string text_) : code(code_), text(std::move(text_)) {}
    const char* what() const noexcept override { return text.c_str(); }
};

}  // namespace tribond
