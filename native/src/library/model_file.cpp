#include "library/model_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "library/error.hpp"

namespace tribond {
namespace {

constexpr int64_t FORMAT_VERSION = 2;                // the newest known; 1 differs in state inputs alone
constexpr uint64_t LONGEST_HEADER = 100000000;       // as safetensors has it
constexpr size_t CHECKSUM_DIGITS = 8;
const std::string CHECKSUM_KIND = "crc32:";
const std::string CHECKSUM_BEGINS = "\\\"checksum\\\": \\\"crc32:";  // in the header, where our JSON is a string

[[noreturn]] void damaged(const std::string& what) {
    throw Error(TRIBOND_BAD_FILE, "is damaged (" + what + "); download or copy it again");
}

uint64_t little_endian(const char* bytes) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

Json parse(const std::string& text, const char* what) {
    try {
        return Json::parse(text);
    } catch (const std::invalid_argument& error) {
        damaged(std::string(what) + " is no JSON: " + error.what());
    }
}

// CRC-32 of zlib, with the digits of the checksum itself taken for zeros.
uint32_t checksum(const std::string& content, size_t digits) {
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; ++i) {
        table[i] = i;
        for (int bit = 0; bit < 8; ++bit) table[i] = table[i] & 1 ? 0xEDB88320u ^ table[i] >> 1 : table[i] >> 1;
    }
    uint32_t sum = 0xFFFFFFFFu;
    for (size_t i = 0; i < content.size(); ++i) {
        const char byte = i >= digits && i < digits + CHECKSUM_DIGITS ? '0' : content[i];
        sum = table[(sum ^ static_cast<unsigned char>(byte)) & 255] ^ sum >> 8;
    }
    return ~sum;
}

// Files of older versions have none.
void verify(const std::string& content, const Json& model) {
    const Json* given = model.find("checksum");
    if (given == nullptr) return;
    const std::string& text = given->string;
    if (given->kind != Json::Kind::string || text.size() != CHECKSUM_KIND.size() + CHECKSUM_DIGITS ||
        text.compare(0, CHECKSUM_KIND.size(), CHECKSUM_KIND) != 0)
        throw Error(TRIBOND_UNSUPPORTED, "has a checksum of another kind; use a newer tribond");
    const size_t begins = content.find(CHECKSUM_BEGINS);  // the first: it is the first member
    if (begins == std::string::npos) damaged("the place of its checksum");
    char wanted[CHECKSUM_DIGITS + 1];
    std::snprintf(wanted, sizeof wanted, "%08x", unsigned(checksum(content, begins + CHECKSUM_BEGINS.size())));
    if (text.compare(CHECKSUM_KIND.size(), CHECKSUM_DIGITS, wanted) != 0) damaged("its checksum is another one");
}

std::vector<int64_t> whole_numbers(const Json* list, const char* what) {
    if (list == nullptr || list->kind != Json::Kind::array) damaged(what);
    std::vector<int64_t> all;
    for (const Json& item : list->items) {
        if (item.kind != Json::Kind::integer || item.integer < 0) damaged(what);
        all.push_back(item.integer);
    }
    return all;
}

StoredTensor tensor(const std::string& name, const Json& entry, const char* data, uint64_t room, std::vector<std::pair<uint64_t, uint64_t>>& places) {
    if (entry.kind != Json::Kind::object || entry.members.size() != 3) damaged("the entry of " + name);
    const Json* type = entry.find("dtype");
    if (type == nullptr || type->kind != Json::Kind::string) damaged("the type of " + name);
    StoredTensor result;
    if (type->string == "F32") result.bytes_of_number = 4;
    else if (type->string == "F64") result.bytes_of_number = 8;
    else throw Error(TRIBOND_UNSUPPORTED, "has numbers of type " + type->string + " (" + name + "); float32 and float64 are known");
    result.shape = whole_numbers(entry.find("shape"), "the shape of a tensor");
    const std::vector<int64_t> offsets = whole_numbers(entry.find("data_offsets"), "the place of a tensor");
    if (offsets.size() != 2 || offsets[0] > offsets[1] || uint64_t(offsets[1]) > room) damaged("the place of " + name);
    uint64_t size = uint64_t(result.bytes_of_number);
    for (int64_t side : result.shape) {
        if (side != 0 && size > room / uint64_t(side)) damaged("the size of " + name);
        size *= uint64_t(side);
    }
    if (size != uint64_t(offsets[1] - offsets[0])) damaged("the size of " + name);
    result.data = data + offsets[0];
    places.emplace_back(offsets[0], offsets[1]);
    return result;
}

}  // namespace

int64_t StoredTensor::size() const {
    int64_t size = 1;
    for (int64_t side : shape) size *= side;
    return size;
}

std::vector<double> StoredTensor::numbers() const {
    std::vector<double> all(size());
    for (size_t i = 0; i < all.size(); ++i) {
        if (bytes_of_number == 8) std::memcpy(&all[i], data + 8 * i, 8);
        else {
            float number;
            std::memcpy(&number, data + 4 * i, 4);
            all[i] = number;
        }
    }
    return all;
}

ModelFile ModelFile::read(const std::string& content) {
    if (content.size() < 8) damaged("it ends before its header");
    const uint64_t length = little_endian(content.data());
    if (length > LONGEST_HEADER || content.size() < 9 || content[8] != '{')
        throw Error(TRIBOND_BAD_FILE, "is no model file; `tribond convert` writes one from whatever tribond can load");
    if (length > content.size() - 8) damaged("it ends within its header");
    const std::string text = content.substr(8, length);
    const Json header = parse(text, "its header");
    const Json* of_file = header.find("__metadata__");
    const Json* ours = of_file == nullptr ? nullptr : of_file->find("tribond");
    if (ours == nullptr || ours->kind != Json::Kind::string)
        throw Error(TRIBOND_BAD_FILE, "is a safetensors file, but not one that tribond wrote; `tribond convert` makes one of a published model");
    const Json model = parse(ours->string, "its description");
    verify(content, model);
    const Json *version = model.find("format_version"), *settings = model.find("config"), *metadata = model.find("metadata");
    if (version == nullptr || version->kind != Json::Kind::integer || version->integer < 1) damaged("its format version");
    const Json* terms = metadata == nullptr ? nullptr : metadata->find("energy_terms");
    if (terms != nullptr && !terms->items.empty())  // version 3
        throw Error(TRIBOND_UNSUPPORTED, "adds " + (terms->items[0].kind == Json::Kind::string ? terms->items[0].string : "a term") +
                                             " to the energy of its network, which this library does not compute; "
                                             "`tribond convert FILE OUT --dispersion none` writes the network alone");
    if (version->integer > FORMAT_VERSION)
        throw Error(TRIBOND_UNSUPPORTED, "has format version " + std::to_string(version->integer) + "; this tribond reads up to " +
                                             std::to_string(FORMAT_VERSION) + ": use a newer one");
    if (settings == nullptr || settings->kind != Json::Kind::object || metadata == nullptr || metadata->kind != Json::Kind::object)
        damaged("its description has no settings or no metadata");

    ModelFile file;
    file.config = Config::from(*settings);
    const Json* name = metadata->find("name");
    file.name = name != nullptr && name->kind == Json::Kind::string && !name->string.empty() ? name->string : "unnamed";
    file.metadata = ours->string;
    const char* data = content.data() + 8 + length;
    const uint64_t room = content.size() - 8 - length;
    std::vector<std::pair<uint64_t, uint64_t>> places;
    for (const auto& member : header.members)
        if (member.first != "__metadata__")
            file.tensors.emplace(member.first, tensor(member.first, member.second, data, room, places));
    std::sort(places.begin(), places.end());
    uint64_t end = 0;
    for (const auto& place : places) {
        if (place.first != end) damaged("its tensors overlap, or leave a hole");
        end = place.second;
    }
    if (end != room) damaged("it is longer or shorter than its tensors");
    return file;
}

std::string read_file(const char* path) {
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path, "rb"), std::fclose);
    if (file == nullptr) throw Error(TRIBOND_BAD_FILE, std::string("cannot be opened: ") + std::strerror(errno));
    std::string content;
    char piece[1 << 16];
    for (size_t count; (count = std::fread(piece, 1, sizeof piece, file.get())) > 0;) content.append(piece, count);
    if (std::ferror(file.get())) throw Error(TRIBOND_BAD_FILE, std::string("cannot be read: ") + std::strerror(errno));
    return content;
}

}  // namespace tribond
