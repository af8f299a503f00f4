//! What customers ask and agents answer.

use crate::draws::Draws;

/// What a room is about.
pub(super) struct Subject {
    pub(super) question: &'static str,
    pub(super) answer: &'static str,
}

/// `{gb}`, `{rand}` and `{suburb}` are filled in.
pub(super) const SUBJECTS: [Subject; 10] = [
    Subject {
        question: "Hello, my {gb} GB bundle is gone since this morning and I hardly used it.",
        answer: "Good day! I am looking at your usage now, one moment please.",
    },
    Subject {
        question: "Why was I charged R{rand} for a call I never made?",
        answer: "I am sorry about that. Which day was it, and which number does it show?",
    },
    Subject {
        question: "No signal in {suburb} again. Second time this week!",
        answer: "Thank you for telling us. There is work on a tower in {suburb} today.",
    },
    Subject {
        question: "How do I switch on roaming? I fly tomorrow 😀",
        answer: "You can do it in the app under Settings. Shall I do it for you?",
    },
    Subject {
        question: "My SIM was stolen, please block it",
        answer: "Done: nobody can use it any more. You can fetch a new one in any shop with your ID.",
    },
    Subject {
        question: "Ek kan nie my data oordra na my vrou se foon nie",
        answer: "Goeiedag! Watter foutboodskap sien jy?",
    },
    Subject {
        question: "I want to move to prepaid. What does it cost?",
        answer: "Moving is free. What is left of your contract would be R{rand}.",
    },
    Subject {
        question: "Video calls stop after about a minute, everything else works.",
        answer: "Could you switch the phone off and on, and try on another network?",
    },
    Subject { question: "Sawubona, ngicela usizo nge-airtime yami", answer: "Sawubona! Ngingakusiza kanjani?" },
    Subject { question: "please call me", answer: "We will. Is this the number to call?" },
];

pub(super) const REPLIES: [&str; 12] = [
    "Yes",
    "No, still the same",
    "ok thank you",
    "It says \"error 40{gb}\"",
    "I am in {suburb}",
    "Can you check again please?",
    "It was R{rand} I think",
    "Great, that works now 👍",
    "I have been waiting for a long time…",
    "Here is what I see:\nbalance R{rand}\ndata {gb} GB",
    "Dankie!",
    "And when will it be repaired?",
];

pub(super) const ANSWERS: [&str; 10] = [
    "One moment please.",
    "I have credited R{rand} to your account.",
    "Could you please restart your phone and try again?",
    "A technician is on the way to {suburb}.",
    "You have {gb} GB left, until the end of the month.",
    "I have passed this on to my colleagues; you will hear from us today.",
    "Is there anything else that I can help you with?",
    "That has been corrected on your next bill.",
    "Thank you for your patience.",
    "Please send me the last three digits of the number.",
];

const SUBURBS: [&str; 8] =
    ["Soweto", "Sandton", "Mitchells Plain", "Umlazi", "Hatfield", "Mamelodi", "Sea Point", "Bloemfontein Central"];

const FIRST_NAMES: [&str; 16] = [
    "Nomvula", "Thabo", "Zanele", "Sipho", "Lerato", "Kagiso", "Ayanda", "Naledi", "Palesa", "Johan", "Anneke",
    "Pieter", "Fatima", "Priya", "Zoë", "Rajesh",
];

const LAST_NAMES: [&str; 16] = [
    "Dlamini",
    "Nkosi",
    "Ndlovu",
    "Khumalo",
    "Mokoena",
    "Botha",
    "van der Merwe",
    "Pretorius",
    "Naidoo",
    "Pillay",
    "Adams",
    "O'Brien",
    "Smith-Jones",
    "Müller",
    "Mthembu",
    "Sithole",
];

pub(super) fn name(draws: &mut Draws) -> String {
    format!("{} {}", draws.one_of(&FIRST_NAMES), draws.one_of(&LAST_NAMES))
}

/// The text, its places filled.
pub(super) fn filled(text: &str, draws: &mut Draws) -> String {
    let rand = draws.between(5, 900);
    text.replace("{gb}", &draws.between(1, 20).to_string())
        .replace("{rand}", &format!("{rand}.{:02}", draws.below(100)))
        .replace("{suburb}", draws.one_of(&SUBURBS))
}
