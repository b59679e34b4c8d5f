import CPU
import CZydis
import Primitives

/// An instruction that some processor has, and the guest's has not: it got #UD for it, where another machine would have gone on.
struct LackedInstruction: Equatable {
    /// Lines of the log that one run may have of them.
    static let logLimit = 64

    /// As Zydis writes it.
    let text: String
    let bytes: [UInt8]
    let place: String
    /// The oldest of our models that has it; nil: none.
    let model: String?
    /// The guest's own model has it, and still nothing carries it out.
    let isModels: Bool

    /// No setting helps.
    var isOurs: Bool { model == nil || isModels }

    /// nil: no processor has an instruction of these bytes, or it is there to raise #UD.
    init?(_ undefined: UndefinedInstruction) {
        let disassembler = Disassembler(bits: undefined.mode.bits)
        guard let decoded = disassembler.decode(undefined.bytes, offset: undefined.offset), !decoded.isUndefined else { return nil }
        text = decoded.text
        bytes = Array(undefined.bytes.prefix(decoded.length))
        let digits = undefined.mode == .long ? 16 : undefined.mode.bits == 32 ? 8 : 4
        place = "\(HexText.hex(UInt64(undefined.selector), 4)):\(HexText.hex(undefined.offset, digits))"
        model = undefined.model?.name
        isModels = undefined.isModels
    }

    /// Without the full stop.
    var sentence: String {
        let words = bytes.map { HexText.hex(UInt64($0), 2) }.joined(separator: " ")
        return "the guest got #UD for '\(text)' (bytes \(words)) at \(place), \(isOurs ? "" : "which ")\(what)"
    }

    /// The end of a sentence that has told place and bytes.
    var addition: String { "; '\(text)' is \(isOurs ? "" : "one that ")\(what)" }

    private var what: String {
        if let model, !isModels { return "its processor lacks; --cpu-model \(model) has it" }
        return "an instruction that Vitrine lacks"
    }
}

/// Why a guest cannot go on, where that is not the guest's doing.
public enum GuruSentence {
    private static let start = "a fault of Vitrine, not of the guest: "

    static func ours(_ what: String, at place: String) -> String { start + what + (place.isEmpty ? "" : ", at \(place)") }

    public static func isOurs(_ sentence: String) -> Bool { sentence.hasPrefix(start) }

    /// For a screen: who has stopped whom, and why.
    public static func whole(_ sentence: String) -> String {
        isOurs(sentence) ? "Vitrine has stopped the guest: \(sentence). Please save a report." : "The guest's processor has stopped: \(sentence)."
    }
}

extension String {
    /// The first letter as a capital one.
    var capitalizedStart: String { prefix(1).uppercased() + dropFirst() }
}
