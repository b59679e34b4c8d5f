import Foundation
import Testing

@testable import Hardware

/// Encoding and decoding a chip gives the same chip.
func expectRoundTrip<Chip: Device>(_ chip: Chip, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let data = try encoder.encode(chip)
    let copy = try JSONDecoder().decode(Chip.self, from: data)
    #expect(copy == chip, sourceLocation: sourceLocation)
    #expect(try encoder.encode(copy) == data, "the encoding depends on something else than the value", sourceLocation: sourceLocation)
}

func roundTrip<Chip: Device>(_ chip: Chip) throws -> Chip {
    try JSONDecoder().decode(Chip.self, from: JSONEncoder().encode(chip))
}
